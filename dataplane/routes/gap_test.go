// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// changeOf is the change that makes the later routes of the earlier ones.
func changeOf(earlier, later wire.NetRoutes) wire.NetRoutes {
	m := wire.NetRoutes{Header: later.Header, ServiceID: later.ServiceID, Base: earlier.Stamp, Instances: []wire.RouteInstance{}}
	for _, i := range later.Instances {
		if !slices.Contains(earlier.Instances, i) {
			m.Instances = append(m.Instances, i)
		}
	}
	for _, i := range earlier.Instances {
		if !slices.ContainsFunc(later.Instances, func(j wire.RouteInstance) bool { return j.Number == i.Number }) {
			m.Without = append(m.Without, i.Number)
		}
	}
	return m
}

// leads is where a service address leads to in the maps: the namespace addresses of the instances to choose from, sorted.
func (w *world) leads() (to []netip.Addr) {
	s := w.services[hello]
	record := w.kernel.services[s.index]
	for _, index := range record.Backends[:record.Count] {
		b, _, err := w.maps.Backends.Lookup(index)
		require.NoError(w.t, err)
		to = append(to, b.Ns(0).Netip())
	}
	slices.SortFunc(to, netip.Addr.Compare)
	return to
}

func TestAChangeDoesWhatTheWholeDoes(t *testing.T) {
	first, then := routesOf(1, instance(0, 1, peerB), instance(1, 1, peerC), instance(2, 1, peerB)), routesOf(2, instance(0, 1, peerB), instance(1, 2, peerB), instance(3, 1, peerC))
	w, x := newWorld(t), newWorld(t)
	for _, table := range []*world{w, x} {
		table.Want(netip.MustParseAddr(rr))
		require.NoError(t, table.Apply(first))
	}
	require.NoError(t, w.Apply(then))
	change := changeOf(first, then)
	require.Len(t, change.Instances, 2)
	require.NoError(t, x.Apply(change))
	require.Equal(t, w.dump(), x.dump())
	require.Equal(t, w.Interest(), x.Interest())
	require.Equal(t, 1, x.published, "for the first lookup")

	// What is stored is the whole, on which the next change goes on after a restart.
	var h History
	for c := range x.All() {
		h.Add(c)
	}
	require.Equal(t, then.Instances, h.Snapshot().Routes[0].Instances)
	x.restart()
	require.NoError(t, x.Restore(h.Snapshot()))
	last := routesOf(3, then.Instances[:2]...)
	require.NoError(t, x.Apply(changeOf(then, last)))
	require.NoError(t, w.Apply(last))
	require.Equal(t, w.leads(), x.leads())
}

func TestAMissedChangeIsAskedForWithBackOff(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(routesOf(1, instance(0, 1, peerB))))
	two, three, four := routesOf(2, instance(0, 1, peerB), instance(1, 1, peerC)), routesOf(3, instance(1, 1, peerC)), routesOf(4, instance(1, 1, peerC), instance(2, 1, peerC))
	before := w.dump()
	require.NoError(t, w.Apply(changeOf(two, three)))
	require.Equal(t, before, w.dump(), "of others than those held")
	require.Equal(t, 1, w.published)
	require.True(t, w.Interest().Addresses[0].Held.IsZero(), "the whole is asked for")
	require.NoError(t, w.Apply(changeOf(three, four)))
	require.Equal(t, 1, w.published, "it has just been asked for")

	asked := 0
	for range 600 {
		w.clock = w.clock.Add(time.Second)
		require.NoError(t, w.Expire(w.clock))
		asked = w.published
	}
	require.Greater(t, asked, 10, "again and again, since nothing comes")
	require.Less(t, asked, 40, "and ever less often")

	require.NoError(t, w.Apply(four))
	require.Equal(t, four.Stamp, w.Interest().Addresses[0].Held)
	w.clock = w.clock.Add(time.Hour)
	require.Empty(t, w.gaps)
}

// Of a service that is not held a change says nothing; what is missing is not asked for without end, and not of however many services.
func TestChangesOfUnknownServicesAreBounded(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(changeOf(routesOf(1), routesOf(2, instance(0, 1, peerB)))))
	require.Equal(t, 1, w.published)
	require.Empty(t, w.services)
	w.clock = w.clock.Add(gapForgotten + time.Second)
	require.NoError(t, w.Expire(w.clock))
	require.Empty(t, w.gaps)
	for _, r := range manyServices(maxWanted + 10) {
		r.Base = wire.Stamp{Epoch: 1, Revision: 7}
		require.NoError(t, w.Apply(r))
	}
	require.Len(t, w.gaps, maxWanted)
}

// A change may make more of a service than a service may have.
func TestAChangeKeepsToTheBounds(t *testing.T) {
	w := newWorld(t)
	full := routesOf(1)
	for n := range maxInstances {
		i := instance(0, 1, peerB)
		i.Number = n
		full.Instances = append(full.Instances, i)
	}
	require.NoError(t, w.Apply(full))
	more := instance(0, 1, peerB)
	more.Number = maxInstances
	change := wire.NetRoutes{Header: routesOf(2).Header, ServiceID: hello, Base: full.Stamp, Instances: []wire.RouteInstance{more}}
	require.ErrorContains(t, w.Apply(change), "more than")
}

// Whatever is lost, comes twice or late, the table ends up with what the cluster says, as soon as one answer to its question comes through.
func TestLossEndsInTheSameTable(t *testing.T) {
	w := newWorld(t)
	epoch := uint64(0)
	rapid.Check(t, func(r *rapid.T) {
		epoch++
		truth := routesOf(1)
		truth.Epoch = epoch
		told := truth
		w.Want(netip.MustParseAddr(rr))
		require.NoError(t, w.Apply(truth))
		generation := map[int]uint32{}
		w.published = 0
		var way []wire.NetRoutes
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0, 1: // one comes, moves, or goes
				n := rapid.IntRange(0, 7).Draw(r, "instance")
				truth.Instances = slices.DeleteFunc(slices.Clone(truth.Instances), func(i wire.RouteInstance) bool { return i.Number == n })
				if rapid.Bool().Draw(r, "there") {
					generation[n]++
					truth.Instances = append(truth.Instances, instance(n, generation[n], rapid.SampledFrom([]string{peerB, peerC}).Draw(r, "at")))
				}
				truth.Revision++
				way = append(way, changeOf(told, truth))
				told = truth
			case 2: // something arrives
				if len(way) > 0 {
					i := rapid.IntRange(0, len(way)-1).Draw(r, "message")
					require.NoError(t, w.Apply(way[i]))
					if rapid.Bool().Draw(r, "once") {
						way = slices.Delete(way, i, i+1)
					}
				}
			case 3: // all arrives, in order
				for _, m := range way {
					require.NoError(t, w.Apply(m))
				}
				way = nil
			case 4: // the question is answered, or its answer lost
				if w.published > 0 {
					w.published = 0
					truth.Revision++
					told = truth
					if rapid.Bool().Draw(r, "answered") {
						require.NoError(t, w.Apply(truth))
					}
				}
			}
			held := w.services[hello].routes
			require.LessOrEqual(t, held.Compare(truth.Stamp), 0)
			w.clock = w.clock.Add(time.Minute)
		}
		// From now on nothing is lost: the next change is either taken, or has the whole asked for.
		truth.Revision++
		require.NoError(t, w.Apply(changeOf(told, truth)))
		if w.services[hello].routes.Stamp != truth.Stamp {
			require.Positive(t, w.published)
			truth.Revision++
			require.NoError(t, w.Apply(truth))
		}
		require.ElementsMatch(t, truth.Instances, w.services[hello].routes.Instances)
		var want []netip.Addr
		for _, i := range truth.Instances {
			want = append(want, i.NamespaceIP)
		}
		slices.SortFunc(want, netip.Addr.Compare)
		require.Equal(t, want, w.leads())
	})
}
