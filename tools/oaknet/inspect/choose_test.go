// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// TestReasons holds what is told against what was chosen.
func TestReasons(t *testing.T) {
	km := func(n uint16) *uint16 { return &n }
	near := func(ms float64) Weights { return Weights{RoundTrip: &ms} }
	flows := func(open, lately uint32, load uint16) Weights {
		f := bpf.ActiveFlows{Active: open, Lately: lately << 12}
		w := Weights{Active: open, Lately: lately, busyness: f.Cost(load, 0)}
		if load != bpf.LoadUnknown {
			w.Load = &load
		}
		return w
	}
	far := func(c Candidate) Candidate { c.Usable = true; return c }
	for name, c := range map[string]struct {
		policy     uint32
		candidates []Candidate
		chosen     int
		why        string
	}{
		"next":          {bpf.PolicyRoundRobin, []Candidate{far(Candidate{}), far(Candidate{Turn: 1})}, 0, "the next in turn"},
		"next but one":  {bpf.PolicyRoundRobin, []Candidate{{}, far(Candidate{Turn: 1}), far(Candidate{Turn: 2})}, 1, "1 before it cannot"},
		"only":          {bpf.PolicyClosest, []Candidate{{}, far(Candidate{})}, 1, "the only one"},
		"none":          {bpf.PolicyClosest, []Candidate{{}, {}}, -1, "none of 2"},
		"no instance":   {bpf.PolicyRoundRobin, nil, -1, "none of 0"},
		"local":         {bpf.PolicyClosest, []Candidate{far(Candidate{Weights: near(0.1)}), far(Candidate{Local: true})}, 1, "on this worker"},
		"near":          {bpf.PolicyClosest, []Candidate{far(Candidate{Weights: near(9)}), far(Candidate{Weights: near(2)})}, 1, "least round trip, 2.00 ms"},
		"hardly nearer": {bpf.PolicyClosest, []Candidate{far(Candidate{Weights: near(9)}), far(Candidate{Weights: near(8.9)})}, 0, "9.00 ms"},
		"measured":      {bpf.PolicyClosest, []Candidate{far(Candidate{Weights: Weights{Distance: km(1)}}), far(Candidate{Weights: near(900)})}, 1, "900.00 ms"},
		"distance":      {bpf.PolicyClosest, []Candidate{far(Candidate{Weights: Weights{Distance: km(7)}}), far(Candidate{Weights: Weights{Distance: km(3)}})}, 1, "the nearest, 3 km away"},
		"nothing known": {bpf.PolicyClosest, []Candidate{far(Candidate{}), far(Candidate{Turn: 1})}, 0, "neither"},
		"less busy": {bpf.PolicyUnderutilized, []Candidate{far(Candidate{Weights: flows(3, 0, 0)}), far(Candidate{Weights: flows(2, 0, 100)})}, 1,
			"2 flows of callers here, load 10.0%"},
		"loaded": {bpf.PolicyUnderutilized, []Candidate{far(Candidate{Weights: flows(2, 0, 900)}), far(Candidate{Weights: flows(3, 0, 0)})}, 1, "3 flows"},
		"given many": {bpf.PolicyUnderutilized, []Candidate{far(Candidate{Weights: flows(2, 9, 0)}), far(Candidate{Weights: flows(3, 5, 0)})}, 1,
			"5 flows of callers here lately"},
		"load unknown": {bpf.PolicyUnderutilized, []Candidate{far(Candidate{Weights: flows(0, 0, bpf.LoadUnknown)}), far(Candidate{Weights: flows(0, 0, 990)})}, 1,
			"load 99.0%"},
		"all unknown": {bpf.PolicyUnderutilized, []Candidate{far(Candidate{Weights: flows(0, 0, bpf.LoadUnknown)}), far(Candidate{Weights: flows(1, 0, bpf.LoadUnknown)})}, 0,
			"load that is not known"},
		"instance":            {bpf.PolicyInstance, []Candidate{far(Candidate{})}, 0, "own"},
		"instance, and it is": {bpf.PolicyInstance, []Candidate{{Unusable: "gone"}}, -1, "none of 1"},
	} {
		got, why := choose(c.policy, c.candidates)
		assert.Equal(t, c.chosen, got, name)
		assert.Contains(t, why, c.why, name)
		for i, one := range c.candidates {
			assert.Equal(t, i == c.chosen, one.Chosen, name)
		}
	}
}

// TestResolveSaysWhatTheProgramDoes makes up services and has the program choose for a packet what was said before.
func TestResolveSaysWhatTheProgramDoes(t *testing.T) {
	progs, maps, err := bpf.Load("", bpf.Kernel{})
	require.NoError(t, err, "the test needs root")
	t.Cleanup(func() { progs.Close(); _ = maps.Close() })
	w := &kernelWorld{t: t, maps: maps, rand: rand.New(rand.NewPCG(1, 2))}
	w.fill()
	chosen := 0
	for port := range uint16(300) {
		w.shake()
		now, err := Now()
		require.NoError(t, err)
		r := &Reader{maps: maps, clock: now, names: map[uint32]string{}}
		policy := 1 + uint32(port)%3
		said, err := r.Resolve(w.vip(policy))
		require.NoError(t, err)
		got := w.send(progs.Container, policy, 1000+port)
		if said.Chosen == nil {
			assert.Zero(t, got, "policy %d: %s", policy, said.Why)
			continue
		}
		chosen++
		require.Equal(t, said.Chosen.Backend, got, "policy %d: %s\n%+v", policy, said.Why, said.Candidates)
	}
	assert.Greater(t, chosen, 200)
}

// kernelWorld is a client on the loopback interface, where packets of test runs arrive, and a service of a few instances elsewhere.
type kernelWorld struct {
	t    *testing.T
	maps *bpf.Maps
	rand *rand.Rand
}

const kernelInstances = 6

func (w *kernelWorld) vip(policy uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 30, 0, byte(policy)})
}

func (w *kernelWorld) must(err error) { require.NoError(w.t, err) }

func (w *kernelWorld) fill() {
	client := netip.MustParseAddr("10.18.0.2")
	w.must(w.maps.Config.Put(0, bpf.Config{
		Services4: bpf.PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Workers4: bpf.PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")),
		TunnelPort: 50103, Mtu: 1400,
	}))
	ep := bpf.Endpoint{Ifindex: 1, Tag: 1, Generation: 1}
	ep.Ns[bpf.V4], ep.Inst[bpf.V4] = bpf.AddrFrom(client), bpf.AddrFrom(netip.MustParseAddr("10.30.1.2"))
	w.must(w.maps.Endpoints.Put(1, ep))
	w.must(w.maps.Local.Put(bpf.AddrFrom(client), 1))
	for _, policy := range []uint32{bpf.PolicyRoundRobin, bpf.PolicyClosest, bpf.PolicyUnderutilized} {
		w.must(w.maps.VIPs.Put(bpf.AddrFrom(w.vip(policy)), bpf.VIP{Service: 1, Policy: policy}))
	}
}

// shake gives the service and the peers other states.
func (w *kernelWorld) shake() {
	now, err := Now()
	w.must(err)
	some := func(n int) bool { return w.rand.IntN(n) == 0 }
	s := bpf.Service{Count: uint32(w.rand.IntN(kernelInstances + 1))}
	for i := range s.Count {
		s.Backends[i] = i + 1
	}
	w.must(w.maps.Services.Put(1, s))
	for i := uint32(1); i <= kernelInstances; i++ {
		p := bpf.Peer{
			Outer: bpf.AddrFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})), Local: bpf.AddrFrom(netip.MustParseAddr("192.0.2.1")),
			Ifindex: 1, Port: 50103, State: bpf.PeerUp,
		}
		if some(5) {
			p.State = bpf.PeerGreeting
		}
		h := bpf.PeerHealth{RttUs: uint32(500 + w.rand.IntN(1000)), Sampled: 1}
		if some(3) {
			h.Sampled = 0
		}
		if some(4) {
			h.Asked = uint64(now.Monotonic - time.Duration(w.rand.IntN(2)*20+2)*time.Second)
		}
		b := bpf.Backend{Generation: 1, Service: 1, Number: i, Peer: i, Tag: i, Distance: uint16(w.rand.IntN(5)), Load: uint16(w.rand.IntN(1000))}
		b.SetAddrs([2]netip.Addr{netip.AddrFrom4([4]byte{10, 18, 1, byte(i)})}, [2]netip.Addr{netip.AddrFrom4([4]byte{10, 30, 2, byte(i)})})
		w.must(w.maps.Peers.Put(i, p))
		w.must(w.maps.PeerHealth.Put(i, h))
		w.must(w.maps.Backends.Put(i, b))
		w.must(w.maps.Loads.Put(i, bpf.ActiveFlows{Active: uint32(w.rand.IntN(4)), Lately: uint32(w.rand.IntN(5))<<12 | uint32(now.Monotonic>>30)&0xfff}))
	}
}

// send opens a flow and returns the index of the instance that it is given to, 0 if it is dropped.
func (w *kernelWorld) send(prog *ebpf.Program, policy uint32, port uint16) uint32 {
	w.t.Helper()
	frame := make([]byte, 14+20+8)
	frame[12] = 8
	ip := frame[14:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 28, 64, unix.IPPROTO_UDP
	copy(ip[12:], net.IPv4(10, 18, 0, 2).To4())
	copy(ip[16:], w.vip(policy).AsSlice())
	copy(ip[20:], []byte{byte(port >> 8), byte(port), 0, 53, 0, 8})
	_, err := prog.Run(&ebpf.RunOptions{Data: frame})
	w.must(err)
	be := func(n uint16) uint16 { return n<<8 | n>>8 }
	flow, _, err := w.maps.Flows().Lookup(bpf.FlowKey{
		Src: bpf.AddrFrom(netip.MustParseAddr("10.18.0.2")), Dst: bpf.AddrFrom(w.vip(policy)), Sport: be(port), Dport: be(53),
		Proto: unix.IPPROTO_UDP, From: 1,
	})
	w.must(err)
	return flow.Backend
}
