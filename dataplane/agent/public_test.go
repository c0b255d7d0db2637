// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/hex"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// joinFrom joins the cluster by way of the internet, where the observer is.
func (w *worker) joinFrom(n *internet) {
	w.t.Helper()
	w.c.serve(w.host)
	w.c.publish(wire.TopicNetNode, n.node(w), true)
	w.start()
	id := w.c.identity()
	id.Brokers = append(id.Brokers, cloudAddr+":1") // the first is taken; the second is where the cluster's host is known from
	_, err := w.ask(http.MethodPut, wire.PathLocalIdentity, id, nil)
	require.NoError(w.t, err)
	w.eventually("it is ready", func() bool { return w.status().Ready })
	w.eventually("it tells its key", func() bool { return w.c.last(wire.TopicNetEndpoints, &w.told) && len(w.told.PublicKey) > 0 })
}

// answerTo has the observer know workers, which have told their keys.
func (n *internet) answerTo(workers ...*worker) {
	n.t.Helper()
	keys := map[[12]byte][]byte{}
	for _, w := range workers {
		id, err := hex.DecodeString(w.c.worker)
		require.NoError(n.t, err)
		keys[[12]byte(id)] = w.told.PublicKey
	}
	n.answer(keys)
}

// TestAWorkerTellsWhereItIsSeen: behind a NAT by the word of the cluster's observer, and anew when the NAT gives it another port.
func TestAWorkerTellsWhereItIsSeen(t *testing.T) {
	n := newInternet(t)
	w := newWorker(t, workerID, "10.18.0.0/26")
	home := n.router("home", "203.0.113.1")
	home.host(w.ns, "192.168.1.2")
	w.joinFrom(n)
	n.answerTo(w)
	w.sees("203.0.113.1:50103")
	home.masquerade("40000")
	w.sees("203.0.113.1:40000")
}

// TestAConfiguredPublicPortThatChanges: the worker's netcfg.json names another port of its router, which forwards that one from now on. The
// other worker has no other way to it: its own NAT lets in nobody that it has not greeted, and nobody knows its port.
func TestAConfiguredPublicPortThatChanges(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	homes := []*router{n.router("homeA", "203.0.113.1"), n.router("homeB", "203.0.113.2")}
	homes[0].host(a.ns, "192.168.1.2")
	homes[0].open("40001", "192.168.1.2")
	homes[1].symmetric()
	homes[1].host(b.ns, "192.168.1.2")
	a.cfg.Public = Public{Address: netip.MustParseAddr("203.0.113.1"), Port: 40001}
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv4, a, b, func() { a.sees("203.0.113.1:40001") })
	s := k.stream()
	s.goesOn(5 * time.Second)
	m := b.maps()
	require.Equal(t, netip.MustParseAddrPort("203.0.113.1:40001"), locates(t, m))

	homes[0].open("40002", "192.168.1.2")
	a.terminate()
	a.cfg.Public.Port = 40002
	a.start()
	a.sees("203.0.113.1:40002")
	require.NotContains(t, a.told.Outer, netip.MustParseAddrPort("203.0.113.1:40001"))
	b.meet(a, k.from)
	b.eventually("it follows", func() bool { return locates(t, m) == netip.MustParseAddrPort("203.0.113.1:40002") })
	s.goesOn(15 * time.Second)
}

// TestTheOwnAddressIsFollowedAtOnce: the kernel says so when it changes.
func TestTheOwnAddressIsFollowedAtOnce(t *testing.T) {
	w := &worker{host: lonelyHost(t), c: newCluster(t, workerID), subnet: subnet}
	w.join()
	w.sees("192.0.2.1:50103")
	for _, change := range [][2]string{{"192.0.2.1", "192.0.2.77"}, {"192.0.2.77", "192.0.2.78"}, {"192.0.2.78", "192.0.2.79"}} {
		start := time.Now()
		w.within(func() {
			l, err := netlink.LinkByName("up")
			require.NoError(t, err)
			for i, do := range []func(netlink.Link, *netlink.Addr) error{netlink.AddrDel, netlink.AddrAdd} {
				addr, err := netlink.ParseAddr(change[i] + "/24")
				require.NoError(t, err)
				require.NoError(t, do(l, addr))
			}
		})
		w.sees(change[1] + ":50103")
		require.Less(t, time.Since(start), followEvery/3, "only the regular look has seen it")
	}
}
