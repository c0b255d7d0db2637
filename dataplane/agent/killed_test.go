// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestTenThousandFlowsOutliveAKill kills both workers' NetManagers under 10,000 flows and 200 new connections a second, and starts them 5 s later:
// no reset, no flow lost, no connection that fails, and names answered within a second of the start.
func TestTenThousandFlowsOutliveAKill(t *testing.T) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	flows, emulated := 10_000, os.Getenv("OAK_EMULATED") != ""
	if emulated {
		flows = 400
	}
	c := newCrowd(t, inIPv4, flows, a, b)
	const name = "c.d.a.b.oak"
	answers := func(timeout time.Duration) error {
		m, err := lookup(t, c.client, "udp", c.gateway, name, dns.TypeA, timeout)
		if err == nil {
			require.Len(t, m.Answer, 1)
		}
		return err
	}
	known := make(chan error, 1)
	go func() { known <- answers(5 * time.Second) }()
	var interest wire.NetInterest
	a.eventually("it asks for the name", func() bool { return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Names) == 1 })
	a.c.publish(wire.TopicNetResolved, wire.NetResolved{Header: a.c.stamp(), Names: []wire.ResolvedName{{
		NameKey: interest.Names[0].NameKey, Resolution: wire.ResolvedService, Addresses: []netip.Addr{inIPv4.vip},
	}}}, false)
	require.NoError(t, <-known)
	time.Sleep(2 * saveEvery) // what a kill may lose

	const perSecond = 200
	stop := c.newcomers(perSecond)
	time.Sleep(500 * time.Millisecond)
	back := time.After(5 * time.Second)
	for _, w := range []*worker{a, b} {
		w.kill()
	}
	t.Logf("with NetManager dead a look-up ends with: %v", answers(100*time.Millisecond))
	require.Error(t, answers(100*time.Millisecond), "nobody can answer names now")
	lost := c.say('b')
	<-back
	begin := time.Now()
	a.launch()
	b.launch()
	for answers(20*time.Millisecond) != nil {
		require.Less(t, time.Since(begin), time.Second, "names are not answered again")
	}
	t.Logf("names are answered %v after the start", time.Since(begin).Round(time.Millisecond))
	for _, w := range []*worker{a, b} {
		w.eventually("it is ready", func() bool { _, err := w.ask("GET", "/healthz", nil, nil); return err == nil && w.status().Ready })
	}
	time.Sleep(time.Second) // it sweeps, and hears from the cluster
	lost += c.say('c')
	opened, failed, slowest := stop()
	t.Logf("%d flows, %d new connections, the slowest %v", len(c.conns), opened, slowest.Round(time.Millisecond))
	require.Zero(t, failed, "new connections failed")
	if !emulated {
		require.GreaterOrEqual(t, opened, int64(6*perSecond))
	}
	c.held(lost)
}
