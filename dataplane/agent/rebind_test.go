// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
)

// followWithin is how long a NAT's new address may stay unknown to others.
const followWithin = 5 * time.Second

// stream is data that goes both ways until the test ends; each end checks what comes.
type stream struct {
	t   *testing.T
	got [2]atomic.Uint64 // pieces that arrived at each end
	err [2]atomic.Pointer[error]
}

const piece = 1000

// stream starts one on the talk's connection, which is the stream's from now on.
func (k *talk) stream() *stream {
	k.t.Helper()
	s := &stream{t: k.t}
	done := make(chan struct{})
	var running sync.WaitGroup
	for i, end := range []net.Conn{k.here, k.there} {
		require.NoError(k.t, end.SetDeadline(time.Time{}))
		running.Go(func() { s.write(end, done) })
		running.Go(func() { s.read(i, end) })
	}
	k.t.Cleanup(func() {
		close(done)
		_ = k.here.Close()
		_ = k.there.Close()
		running.Wait()
	})
	return s
}

func numbered(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, n), bytes.Repeat([]byte{byte(n)}, piece-8)...)
}

func (*stream) write(to net.Conn, done <-chan struct{}) {
	for n := uint64(0); ; n++ {
		if _, err := to.Write(numbered(n)); err != nil {
			return // the other end's reader says so
		}
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *stream) read(i int, from net.Conn) {
	buffer := make([]byte, piece)
	for n := uint64(0); ; n++ {
		_, err := io.ReadFull(from, buffer)
		if err == nil && !bytes.Equal(buffer, numbered(n)) {
			err = fmt.Errorf("piece %d is another: %x", n, buffer[:8])
		}
		if err != nil {
			s.err[i].Store(&err)
			return
		}
		s.got[i].Add(1)
	}
}

// goesOn waits until more has arrived at both ends.
func (s *stream) goesOn(most time.Duration) {
	s.t.Helper()
	before := [2]uint64{s.got[0].Load(), s.got[1].Load()}
	require.Eventually(s.t, func() bool {
		for i := range s.got {
			if err := s.err[i].Load(); err != nil {
				s.t.Fatalf("the stream to end %d broke: %v", i, *err)
			}
		}
		return s.got[0].Load() > before[0]+20 && s.got[1].Load() > before[1]+20
	}, most, 20*time.Millisecond, "the stream does not go on")
}

// maps opens the worker's pinned maps until the test ends.
func (h *host) maps() *bpf.Maps {
	h.t.Helper()
	dir, err := datapath.MapDir(h.cfg.BPFFS, h.cfg.Name)
	require.NoError(h.t, err)
	m, err := bpf.OpenMaps(dir)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = m.Close() })
	return m
}

// locates is where a worker has located its only peer.
func locates(t *testing.T, m *bpf.Maps) netip.AddrPort {
	t.Helper()
	p, _, err := m.Peers.Lookup(1)
	require.NoError(t, err)
	return netip.AddrPortFrom(p.Outer.Netip(), p.Port)
}

// rebind has a NAT give its worker another address, and waits until the other worker has located it there.
func rebind(t *testing.T, home *router, rule string, at func() netip.AddrPort, want func(netip.AddrPort) bool) {
	t.Helper()
	before := at()
	home.translate(rule)
	start := time.Now()
	for now := at(); now == before || !want(now); now = at() {
		if time.Since(start) > followWithin {
			t.Fatalf("after %v the worker is still believed to be at %s", followWithin, now)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("%s: %s is %s after %v", rule, before, at(), time.Since(start).Round(time.Millisecond))
}

// TestANATThatRebindsByItself: the worker behind it does nothing, and does not know. The other one drops what comes from the new address
// until a hello has proved whose it is, and then what was under way goes on.
func TestANATThatRebindsByItself(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	home := n.router("home", "203.0.113.1")
	home.host(a.ns, "192.168.1.2")
	within(t, home.ns, func() { up(t, "wan", "203.0.113.11/24") }) // its second address
	within(t, b.ns, func() { up(t, "lo", "") })
	n.plug(b.ns, "b", "up", "203.0.113.2/24")
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv4, a, b, func() { a.sees("203.0.113.1:50103") })
	s := k.stream()
	s.goesOn(5 * time.Second)

	m := b.maps()
	at := func() netip.AddrPort { return locates(t, m) }
	is := func(want string) func(netip.AddrPort) bool {
		return func(a netip.AddrPort) bool { return a == netip.MustParseAddrPort(want) }
	}
	strangers := drops(t, m)["unknown_peer"]
	rebind(t, home, "udp sport 50103 masquerade to :40000-40100", at, func(a netip.AddrPort) bool { return a.Port() >= 40000 && a.Port() <= 40100 })
	s.goesOn(15 * time.Second)
	rebind(t, home, "udp sport 50103 snat to 203.0.113.11:41000", at, is("203.0.113.11:41000"))
	s.goesOn(15 * time.Second)
	require.Greater(t, drops(t, m)["unknown_peer"], strangers, "data from an address that nobody has proved to be the worker's was taken")
	a.sees("203.0.113.11:41000")
	b.meet(a, k.from)
	s.goesOn(5 * time.Second)
}

// TestANATThatRebindsTowardsAnother: the other worker's NAT lets the new address in only once that worker has greeted it, which it has
// from the cluster.
func TestANATThatRebindsTowardsAnother(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	homes := []*router{n.router("homeA", "203.0.113.1"), n.router("homeB", "203.0.113.2")}
	homes[0].host(a.ns, "192.168.1.2")
	homes[1].host(b.ns, "192.168.1.2")
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv4, a, b, func() {
		a.sees("203.0.113.1:50103")
		b.sees("203.0.113.2:50103")
	})
	s := k.stream()
	s.goesOn(5 * time.Second)
	b.follow(a, k.from) // the cluster passes on what a tells

	m := b.maps()
	rebind(t, homes[0], "udp sport 50103 masquerade to :40000", func() netip.AddrPort { return locates(t, m) },
		func(a netip.AddrPort) bool { return a == netip.MustParseAddrPort("203.0.113.1:40000") })
	s.goesOn(15 * time.Second)
}
