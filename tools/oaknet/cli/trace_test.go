// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// traced is a worker with a client on the loopback interface, where packets of test runs arrive, and a service on another worker.
func traced(t *testing.T) (*world, *bpf.Maps, *bpf.Programs) {
	t.Helper()
	w := newWorld(t)
	m, progs := w.worker("w1")
	ok := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	ok(m.Config.Put(0, bpf.Config{
		Services4: bpf.PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Workers4: bpf.PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")),
		Gateway4: addr("10.18.0.1"), TunnelPort: 50103, Mtu: 1444,
	}))
	ok(m.Endpoints.Put(1, bpf.Endpoint{
		Ns: addrs("10.18.0.2"), Inst: addrs("10.30.0.10"), Generation: 1, Ifindex: 1, Tag: 1, Number: 3, Service: id(t, serviceB),
	}))
	ok(m.Local.Put(addr("10.18.0.2"), 1))
	ok(m.Peers.Put(1, bpf.Peer{
		Outer: addr("192.0.2.2"), Local: addr("192.0.2.1"), Ifindex: 1, Port: 50103, State: bpf.PeerUp, Id: id(t, worker2ID),
	}))
	b := bpf.Backend{Generation: 1, Service: 1, Number: 2, Peer: 1, Tag: 9}
	b.SetAddrs([2]netip.Addr{netip.MustParseAddr("10.18.0.66")}, [2]netip.Addr{netip.MustParseAddr("10.30.0.12")})
	ok(m.Backends.Put(1, b))
	ok(m.Services.Put(1, bpf.Service{Count: 1, Id: id(t, serviceA), Backends: [bpf.MaxBackendsPerService]uint32{1}}))
	ok(m.VIPs.Put(addr("10.30.0.100"), bpf.VIP{Service: 1, Policy: bpf.PolicyRoundRobin}))
	ok(m.VIPs.Put(addr("10.30.0.200"), bpf.VIP{Policy: bpf.PolicyNone}))
	return w, m, progs
}

// datagram is a UDP packet of the client's.
func datagram(to string, sport uint16) []byte {
	frame := make([]byte, 14+20+8)
	frame[12] = 8
	ip := frame[14:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 28, 64, unix.IPPROTO_UDP
	copy(ip[12:], netip.MustParseAddr("10.18.0.2").AsSlice())
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	copy(ip[20:], []byte{byte(sport >> 8), byte(sport), 0, 53, 0, 8})
	return frame
}

// while runs oak-net's trace and sends packets once it has begun.
func (w *world) while(m *bpf.Maps, send func(), args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if f, _, err := m.Trace.Lookup(0); err == nil && f.Until != 0 {
				send()
				return
			}
		}
	}()
	stdout, stderr, code = w.run(append([]string{"trace", "--during", "20s"}, args...)...)
	<-done
	return stdout, stderr, code
}

func TestTrace(t *testing.T) {
	w, m, progs := traced(t)
	send := func(packets ...[]byte) func() {
		return func() {
			for _, p := range packets {
				_, err := progs.Container.Run(&ebpf.RunOptions{Data: p})
				assert.NoError(t, err)
			}
		}
	}
	mixed := send(datagram("10.30.0.200", 1), datagram("10.30.0.100", 1000), datagram("10.30.0.100", 1000), datagram("10.30.0.200", 1000))
	out, errs, code := w.while(m, mixed, "--src", "10.18.0.2:1000", "--count", "3")
	require.Zero(t, code, errs)
	assert.Empty(t, errs)
	number := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} [0-9a-f]{8} `)
	assert.Len(t, number.FindAllString(out, -1), 3)
	golden(t, "trace.txt", number.ReplaceAllString(out, "TIME PACKET "))

	out, errs, code = w.while(m, mixed, "--proto", "udp", "--dst", "10.30.0.100", "--count", "2", "-o", "json")
	require.Zero(t, code, errs)
	packets := map[string][]string{}
	for line := range strings.Lines(out) {
		var e inspect.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		packets[e.Packet] = append(packets[e.Packet], e.Step)
	}
	require.Len(t, packets, 2)
	for _, steps := range packets {
		assert.Equal(t, []string{"container", "flow", "peer"}, steps, "their flow was opened before")
	}
}

// TestTraceOneAtATime refuses a second trace, and leaves nothing on.
func TestTraceOneAtATime(t *testing.T) {
	w, m, _ := traced(t)
	clock, err := inspect.Now()
	require.NoError(t, err)
	require.NoError(t, m.Trace.Put(0, bpf.Trace{Until: uint64(clock.Monotonic + time.Minute)}))
	_, errs, code := w.run("trace", "--count", "1")
	assert.Equal(t, cmdline.Failed, code)
	assert.Contains(t, errs, "another trace is going on")

	require.NoError(t, m.Trace.Put(0, bpf.Trace{Until: 1})) // of one that was killed
	_, errs, code = w.run("trace", "--during", "50ms")
	assert.Zero(t, code, errs)
	left, _, err := m.Trace.Lookup(0)
	require.NoError(t, err)
	assert.Zero(t, left)
}
