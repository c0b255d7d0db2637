// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// However much there is to say, no flush says much more than maxFlush of it, nobody is forgotten, and in the end each holds what is true.
func TestNoFlushSaysTooMuch(t *testing.T) {
	const workers = 300
	b := crowded(200)
	b.spaced = true
	for w := 1; w <= 2; w++ { // those who run them have been heard of as well
		b.interest(w, wire.Stamp{})
	}
	running := b.copies
	b.copies = nil
	b.service()
	id := func(n int) string { return fmt.Sprintf("n%05d", n) }
	for n := range workers {
		b.SetWorker(id(n), []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 19, byte(n >> 2), byte(n << 6)}), 26)})
		b.SetEndpoints(id(n), wire.NetEndpoints{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1}), PublicKey: make([]byte, publicKeyLength)}, true)
		b.SetInterest(id(n), wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1}), PeerChanges: true, RouteChanges: true,
			Addresses: []wire.InterestAddress{want(svcIP)}}, now)
	}
	b.service(running...)
	routes, peers := map[string]wire.NetRoutes{}, map[string]map[string]bool{}
	at, flushes := now, 0
	for ; b.Dirty(); at = at.Add(time.Second) {
		flushes++
		require.Less(t, flushes, 200)
		var said [2]int
		for _, m := range b.Flush(at) {
			switch p := received(m).(type) {
			case wire.NetRoutes:
				said[0] += len(m.Encoded)
				have := routes[m.Worker]
				require.True(t, p.After(have.Stamp))
				if p.IsChange() {
					whole, ok := p.Apply(&have)
					require.True(t, ok)
					p = whole
				}
				routes[m.Worker] = p
			case wire.NetPeers:
				said[1] += len(m.Encoded)
				if peers[m.Worker] == nil || p.Base.IsZero() {
					peers[m.Worker] = map[string]bool{}
				}
				for _, x := range p.Peers {
					peers[m.Worker][x.WorkerID] = true
				}
			}
		}
		for _, bytes := range said {
			require.LessOrEqual(t, bytes, maxFlush+200<<10)
		}
		if flushes == 3 { // meanwhile something changes
			running[9].State = wire.StateCreated
			b.service(running...)
		}
	}
	require.Greater(t, flushes, 4)
	for n := range workers {
		require.Equal(t, b.routes(b.workers[id(n)], b.services["s"]).Instances, routes[id(n)].Instances, id(n))
		require.Len(t, routes[id(n)].Instances, maxRoutes)
	}
	require.Len(t, peers["w1"], workers)
}
