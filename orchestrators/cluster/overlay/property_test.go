// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Whatever happens in whatever order, once all is flushed each worker has been told what its facts say: relation is mutual,
// and routes are of the highest generation.
func TestEndStateDependsOnFactsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(time.Time{})
		b.changes = rapid.Bool().Draw(t, "workers take changes")
		told := map[string]wire.NetPeers{}
		routes := map[string]wire.NetRoutes{}
		apply := func(out []Message) {
			for _, m := range out {
				switch p := received(m).(type) {
				case wire.NetPeers:
					have := told[m.Worker]
					require.True(t, p.After(have.Stamp))
					if !p.Base.IsZero() {
						require.True(t, b.changes)
						require.Equal(t, have.Stamp, p.Base, "a change of the list that it holds")
						p.Peers = merge(have.Peers, p)
					}
					told[m.Worker] = p
				case wire.NetRoutes:
					have := routes[m.Worker]
					require.True(t, p.After(have.Stamp))
					if p.IsChange() {
						require.True(t, b.changes)
						whole, ok := p.Apply(&have)
						require.True(t, ok, "a change of the routes that it holds: %s of %s", p.Base, have.Stamp)
						p = whole
					}
					routes[m.Worker] = p
				}
			}
		}
		for w := 1; w <= 3; w++ {
			b.endpoints(w)
			apply(b.interest(w, wire.Stamp{}))
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			w := rapid.IntRange(1, 3).Draw(t, "worker")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				var copies []Copy
				for n := range rapid.IntRange(0, 3).Draw(t, "copies") {
					copies = append(copies, at(rapid.IntRange(1, 3).Draw(t, "at"), n, uint32(rapid.IntRange(1, 2).Draw(t, "gen")),
						rapid.SampledFrom([]wire.State{wire.StateRunning, wire.StateCreating, wire.StateFailed}).Draw(t, "state")))
				}
				b.service(copies...)
			case 1:
				var eps []wire.NetEndpoint
				for n := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
					eps = append(eps, ep(w, n, uint32(rapid.IntRange(1, 2).Draw(t, "gen"))))
				}
				b.endpoints(w, eps...)
			case 2:
				if rapid.Bool().Draw(t, "wants") {
					apply(b.interest(w, told[fmt.Sprint("w", w)].Stamp, want(svcIP)))
				} else {
					apply(b.interest(w, told[fmt.Sprint("w", w)].Stamp))
				}
			case 3:
				apply(b.Flush(now))
			}
		}
		apply(b.Flush(now))
		require.Empty(t, b.Flush(now))
		for id, w := range b.workers {
			m := b.peers(w)
			require.Equal(t, m.Peers, told[id].Peers, id)
			for _, p := range m.Peers {
				require.True(t, b.peersOf(b.workers[p.WorkerID]).has(id), "relation of %s and %s is mutual", id, p.WorkerID)
			}
			if s := b.services["s"]; s != nil && s.interested.has(id) {
				require.Equal(t, b.routes(w, s).Instances, routes[id].Instances, id)
			}
		}
	})
}

// merge does to a list of peers what a change says.
func merge(have []wire.NetPeer, m wire.NetPeers) []wire.NetPeer {
	byID := map[string]wire.NetPeer{}
	for _, p := range slices.Concat(have, m.Peers) {
		byID[p.WorkerID] = p
	}
	for _, id := range m.Gone {
		delete(byID, id)
	}
	list := []wire.NetPeer{}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		list = append(list, byID[id])
	}
	return list
}

// Whatever bytes a NetManager sends, nothing panics, and no address outside the worker's subnets becomes a route.
func FuzzNetMessages(f *testing.F) {
	f.Add([]byte(`{"public_key":"MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=","endpoints":[{"service_id":"s","instance_number":0,"generation":{"placement":1,"move":1},"namespace_ip":"10.18.1.9","tag":7}]}`))
	f.Add([]byte(`{"addresses":[{"address":"10.30.0.1"},{"address":""}]}`))
	f.Add([]byte(`{"names":[{"organization":"o","name":"c.d.a.b.oak"},{"name":"9.c.d.a.b.oak"},{"name":"1.0.30.10.in-addr.arpa","held":{"epoch":9}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBed(time.Time{})
		b.service(at(1, 0, 1, wire.StateRunning))
		b.interest(3, wire.Stamp{}, want(svcIP))
		var e wire.NetEndpoints
		if json.Unmarshal(data, &e) == nil {
			b.SetEndpoints("w1", e, true)
		}
		var i wire.NetInterest
		if json.Unmarshal(data, &i) == nil {
			b.SetInterest("w2", i, now)
		}
		b.Flush(now)
		for _, r := range b.routes(b.workers["w3"], b.services["s"]).Instances {
			if !b.workers["w1"].subnets[0].Contains(r.NamespaceIP) || r.Tag == 0 {
				t.Fatalf("route %+v", r)
			}
		}
	})
}
