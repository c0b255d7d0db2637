// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// crowdedBed has so many instances on w1 and w2 that w3, which wants them, is told a choice.
type crowdedBed struct {
	*bed
	copies []Copy
}

func crowded(instances int) *crowdedBed {
	b := &crowdedBed{bed: newBed(time.Time{})}
	b.changes = true
	eps := map[int][]wire.NetEndpoint{}
	for n := range instances {
		w := 1 + n%2
		b.copies = append(b.copies, at(w, n, 1, wire.StateRunning))
		e := ep(w, 0, 1)
		e.Number, e.NamespaceIP = n, netip.AddrFrom4([4]byte{10, 18, byte(w), byte(2 + n/2)})
		eps[w] = append(eps[w], e)
	}
	for w := range 2 {
		b.SetWorker([]string{"w1", "w2"}[w], []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 18, byte(w + 1), 0}), 24)})
		b.endpoints(w+1, eps[w+1]...)
	}
	b.endpoints(3)
	b.service(b.copies...)
	return b
}

// listener is w3's table, which keeps to the rules for changes.
type listener struct {
	held wire.NetRoutes
	asks bool
}

func (l *listener) hear(m wire.NetRoutes) {
	if !m.After(l.held.Stamp) {
		return
	}
	if m.IsChange() {
		whole, ok := m.Apply(&l.held)
		if !ok {
			l.asks = true
			return
		}
		m = whole
	}
	l.held, l.asks = m, false
}

// Whatever is lost, comes twice or in another order: routes of a stamp are always those that the cluster had at that stamp, and who asks when
// something is missing ends up with what is true.
func TestChangesAreAsGoodAsTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := crowded(rapid.SampledFrom([]int{3, 20, 64, 65, 100, 120}).Draw(t, "instances"))
		w3, s := b.workers["w3"], b.services["s"]
		l := &listener{}
		var way []wire.NetRoutes
		truth := map[wire.Stamp][]wire.RouteInstance{}
		changes := 0
		send := func(out []Message) {
			for _, m := range out {
				r, ok := received(m).(wire.NetRoutes)
				if !ok || m.Worker != "w3" {
					continue
				}
				if r.IsChange() {
					changes++
				}
				truth[r.Stamp] = b.routes(w3, s).Instances
				way = append(way, r)
			}
		}
		hear := func(i int) {
			l.hear(way[i])
			require.Equal(t, truth[l.held.Stamp], l.held.Instances, "routes of stamp %s", l.held.Stamp)
		}
		ask := func() { send(b.interest(3, wire.Stamp{}, wire.InterestAddress{Address: svcIP, Held: l.held.Stamp})) }
		ask()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				for range rapid.IntRange(1, 3).Draw(t, "together") {
					x := &b.copies[rapid.IntRange(0, len(b.copies)-1).Draw(t, "copy")]
					x.State = rapid.SampledFrom([]wire.State{wire.StateRunning, wire.StateCreated, wire.StateCreating}).Draw(t, "state")
				}
				b.service(b.copies...)
			case 2:
				send(b.Flush(now))
			case 3: // in any order, twice, or never
				if len(way) > 0 {
					hear(rapid.IntRange(0, len(way)-1).Draw(t, "message"))
				}
			case 4: // all that has not been heard, in order
				for i := range way {
					hear(i)
				}
			case 5:
				if l.asks {
					ask()
				}
			}
		}
		send(b.Flush(now))
		ask() // as upon a new connection
		hear(len(way) - 1)
		require.Equal(t, b.routes(w3, s).Instances, l.held.Instances)
		require.Equal(t, l.held.Stamp, w3.routesSent["s"].stamp)
	})
}

// A change of one instance says of no other, and all who hold the same are told in the same bytes.
func TestChangeIsSmallAndShared(t *testing.T) {
	b := crowded(20)
	b.interest(2, wire.Stamp{}, want(svcIP))
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.copies[7].State, b.copies[9].State = wire.StateCreated, wire.StateCreating
	b.service(b.copies...)
	out := b.Flush(now)
	require.Len(t, out, 2)
	require.Equal(t, &out[0].Encoded[0], &out[1].Encoded[0])
	m := received(out[1]).(wire.NetRoutes)
	require.True(t, m.IsChange())
	require.Len(t, m.Instances, 1)
	require.Equal(t, 7, m.Instances[0].Number)
	require.Equal(t, []int{9}, m.Without)
	require.Empty(t, b.Flush(now))
}

// Who does not say that it takes changes is told all, and so is who gets another address to know.
func TestWholeIsTold(t *testing.T) {
	b := crowded(20)
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.changes = false
	b.interest(2, wire.Stamp{}, want(svcIP))
	b.copies[7].State = wire.StateCreated
	b.service(b.copies...)
	out := b.Flush(now)
	require.Len(t, out, 2)
	old, young := received(out[0]).(wire.NetRoutes), received(out[1]).(wire.NetRoutes)
	require.Equal(t, "w2", out[0].Worker)
	require.False(t, old.IsChange())
	require.Len(t, old.Instances, 20)
	require.True(t, young.IsChange())

	b.SetService(Service{ID: "s", JobName: "a.b.c.d", Copies: b.copies, Addresses: []wire.ServiceAddress{
		{Policy: wire.PolicyRoundRobin, Address: svcIP}, {Policy: wire.PolicyClosest, Address: netip.MustParseAddr("10.30.0.2")}}})
	i := slices.IndexFunc(b.Flush(now), func(m Message) bool {
		r, ok := received(m).(wire.NetRoutes)
		return ok && m.Worker == "w3" && !r.IsChange() && len(r.Addresses) == 2
	})
	require.GreaterOrEqual(t, i, 0)
}

// The choice among many is w's alone: one that goes makes room for one, and takes none of the others along.
func TestChoiceMovesNoOther(t *testing.T) {
	b := crowded(120)
	w, s := b.workers["w3"], b.services["s"]
	numbers := func() (all []int) {
		for _, i := range b.routes(w, s).Instances {
			all = append(all, i.Number)
		}
		return all
	}
	before := numbers()
	require.Len(t, before, maxRoutes)
	b.copies[before[5]].State = wire.StateCreating
	b.service(b.copies...)
	after := numbers()
	require.Len(t, after, maxRoutes)
	kept := 0
	for _, n := range after {
		if slices.Contains(before, n) {
			kept++
		}
	}
	require.Equal(t, maxRoutes-1, kept)
}

// BenchmarkOneChangeForAThousand is what a change of one of 200 instances takes that a thousand workers want, but for its sending.
func BenchmarkOneChangeForAThousand(b *testing.B) {
	bed := crowded(200)
	for n := range 1000 {
		id := "n" + netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}).String()
		bed.SetWorker(id, nil)
		bed.SetInterest(id, wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1}), PeerChanges: true, RouteChanges: true,
			Addresses: []wire.InterestAddress{want(svcIP)}}, now)
	}
	bed.Flush(now)
	messages, bytes := 0, 0
	for i := 0; b.Loop(); i++ {
		x := &bed.copies[i/2%200]
		x.State = []wire.State{wire.StateCreating, wire.StateRunning}[i%2]
		bed.service(bed.copies...)
		for _, m := range bed.Flush(now) {
			messages++
			bytes += len(m.Encoded)
		}
	}
	b.ReportMetric(float64(messages)/float64(b.N), "messages/op")
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/op")
}
