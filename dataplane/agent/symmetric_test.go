// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const thirdID = "eeeeeeeeeeeeeeeeeeeeeeee"

// seenAt waits until a worker is told of as seen at an address of its NAT, whose port nobody can foresee.
func (w *worker) seenAt(public string) {
	w.t.Helper()
	w.eventually("it is seen at "+public, func() bool {
		if !w.c.last(wire.TopicNetEndpoints, &w.told) {
			return false
		}
		for _, a := range w.told.Outer {
			if a.Addr() == netip.MustParseAddr(public) {
				return true
			}
		}
		return false
	})
}

// findsOut waits until a worker has found out that its NAT is symmetric.
func (w *worker) findsOut() {
	w.t.Helper()
	w.eventually("it finds out about its NAT", func() bool {
		return w.c.last(wire.TopicNetEndpoints, &w.told) && w.told.NAT == wire.NATSymmetric
	})
}

// TestAWorkerBehindASymmetricNAT: what the cluster sees of it is of no use to the other worker, which learns the real port from its hello.
func TestAWorkerBehindASymmetricNAT(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	home := n.router("home", "203.0.113.1")
	home.symmetric()
	home.host(a.ns, "192.168.1.2")
	within(t, b.ns, func() { up(t, "lo", "") })
	n.plug(b.ns, "b", "up", "203.0.113.2/24")
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv4, a, b, func() { a.seenAt("203.0.113.1") })
	s := k.stream()
	s.goesOn(5 * time.Second)

	m := b.maps()
	at := func() netip.AddrPort { return locates(t, m) }
	require.Equal(t, netip.MustParseAddr("203.0.113.1"), at().Addr())
	a.findsOut()
	require.Equal(t, wire.NATSymmetric, a.told.NAT)
	var told wire.NetEndpoints
	require.True(t, b.c.last(wire.TopicNetEndpoints, &told))
	require.Equal(t, wire.NATNone, told.NAT, "the other one is behind none")
	rebind(t, home, "udp sport 50103 masquerade random,fully-random", at, func(netip.AddrPort) bool { return true })
	s.goesOn(15 * time.Second)
}

// trio is a client on one worker, and servers on two others.
type trio struct {
	t       *testing.T
	workers []*worker
	client  netns.NsHandle
	there   []wire.LocalEndpoint // the instance of each
}

func newTrio(t *testing.T, workers ...*worker) *trio {
	t.Helper()
	k := &trio{t: t, workers: workers}
	for i, w := range workers {
		path, ns := container(t, w.c.worker[:1])
		k.there = append(k.there, w.attach(i, path))
		if i == 0 {
			k.client = ns
			continue
		}
		var l net.Listener
		var err error
		within(t, ns, func() { l, err = net.Listen("tcp4", ":80") })
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_, _ = io.WriteString(conn, w.c.worker)
				_ = conn.Close()
			}
		}()
	}
	return k
}

// introduce tells each worker of the others, as they have told of themselves.
func (k *trio) introduce() {
	k.t.Helper()
	for i, w := range k.workers {
		list := wire.NetPeers{Header: w.c.stamp()}
		for j, other := range k.workers {
			if i != j {
				list.Peers = append(list.Peers, other.asPeer(k.there[j]))
			}
		}
		w.c.publish(wire.TopicNetPeers, list, false)
	}
}

// routes tells the client's worker that the service has the instances of some workers.
func (k *trio) routes(servers ...int) {
	k.t.Helper()
	c := k.workers[0].c
	var all wire.NetRoutes
	for _, i := range servers {
		r := k.workers[i].c.routes(k.there[i])
		r.Instances = append(r.Instances, all.Instances...)
		all = r
	}
	all.Header = c.stamp()
	c.publish(wire.TopicNetRoutes+serviceID, all, false)
}

// call asks the service which worker answers.
func (k *trio) call() (worker string, err error) {
	within(k.t, k.client, func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp4", at(inIPv4.vip, "80"), 5*time.Second); err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var answer []byte
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer, err = io.ReadAll(conn)
		worker = string(answer)
	})
	return worker, err
}

// state is how a worker has another one in its map.
func state(t *testing.T, m *bpf.Maps, of *worker) uint32 {
	t.Helper()
	var err error
	for _, p := range m.Peers.All(&err) {
		if p.State != bpf.PeerFree && bpf.FormatID(p.Id) == of.c.worker {
			return p.State
		}
	}
	require.NoError(t, err)
	return bpf.PeerFree
}

// TestTwoWorkersBehindSymmetricNATs cannot find one another. Both say so, callers go to whom they can reach or are refused at once, and
// when a port is opened at one of them they meet.
func TestTwoWorkersBehindSymmetricNATs(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	c := newWorker(t, thirdID, "10.18.0.128/26")
	homes := []*router{n.router("homeA", "203.0.113.1"), n.router("homeB", "203.0.113.2")}
	for i, w := range []*worker{a, b} {
		homes[i].symmetric()
		homes[i].host(w.ns, "192.168.1.2")
	}
	within(t, c.ns, func() { up(t, "lo", "") })
	n.plug(c.ns, "c", "up", "203.0.113.3/24")
	for _, w := range []*worker{a, b, c} {
		w.joinFrom(n)
	}
	n.answerTo(a, b, c)
	k := newTrio(t, a, b, c)
	a.seenAt("203.0.113.1")
	b.seenAt("203.0.113.2")
	a.findsOut() // by the cluster alone: neither has met anybody
	b.findsOut()
	k.introduce()
	ma, mb := a.maps(), b.maps()
	a.eventually("it knows that the other is out of reach", func() bool { return state(t, ma, b) == bpf.PeerBothSymmetric })
	b.eventually("it knows that the other is out of reach", func() bool { return state(t, mb, a) == bpf.PeerBothSymmetric })
	require.Equal(t, bpf.PeerUp, state(t, ma, c))

	// Of two instances the one that can be reached is chosen, each time.
	go func() {
		var interest wire.NetInterest
		for range 500 {
			if a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 {
				k.routes(1, 2)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	for range 6 {
		answers, err := k.call()
		require.NoError(t, err)
		require.Equal(t, thirdID, answers)
	}
	// Where there is no other one, callers hear of it at once.
	k.routes(1)
	a.eventually("they are refused", func() bool {
		start := time.Now()
		_, err := k.call()
		// While the change is on its way calls get through, or are cut off.
		return errors.Is(err, unix.ECONNREFUSED) && time.Since(start) < 500*time.Millisecond
	})

	homes[1].open("50103", "192.168.1.2")
	b.told.Outer = append([]netip.AddrPort{netip.MustParseAddrPort("203.0.113.2:50103")}, b.told.Outer...) // as its netcfg.json would say
	k.introduce()
	a.eventually("they meet", func() bool { return state(t, ma, b) == bpf.PeerUp && state(t, mb, a) == bpf.PeerUp })
	answers, err := k.call()
	require.NoError(t, err)
	require.Equal(t, otherID, answers)
}
