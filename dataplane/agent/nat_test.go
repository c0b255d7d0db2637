// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestAWorkerBehindANAT: the other one has a public address. When the NAT forgets, and gives the worker another port, flows go on.
func TestAWorkerBehindANAT(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	home := n.router("home", "203.0.113.1")
	home.host(a.ns, "192.168.1.2")
	within(t, b.ns, func() { up(t, "lo", "") })
	n.plug(b.ns, "b", "up", "203.0.113.2/24")
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv4, a, b, func() { a.sees("203.0.113.1:50103") })

	home.masquerade("40000")
	k.both(15 * time.Second)
	a.sees("203.0.113.1:40000")
}

// TestTwoWorkersEachBehindANAT: neither can be reached unless it has sent first, and both have the same address at home.
func TestTwoWorkersEachBehindANAT(t *testing.T) {
	n := newInternet(t)
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	homes := []*router{n.router("homeA", "203.0.113.1"), n.router("homeB", "203.0.113.2")}
	homes[0].host(a.ns, "192.168.1.2")
	homes[1].host(b.ns, "192.168.1.2")
	a.joinFrom(n)
	b.joinFrom(n)
	n.answerTo(a, b)
	k := newTalk(t, inIPv6, a, b, func() {
		a.sees("203.0.113.1:50103")
		b.sees("203.0.113.2:50103")
	})

	// One's new port reaches the other by way of the cluster only: its NAT lets nobody in.
	homes[0].masquerade("40000")
	a.sees("203.0.113.1:40000")
	b.meet(a, wire.LocalEndpoint{})
	k.both(15 * time.Second)
}
