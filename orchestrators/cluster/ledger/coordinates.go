// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/vivaldi"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxRoundTrips bounds how many round trips one worker tells.
const maxRoundTrips = 256

// SeeRoundTrips takes in the round trips in ms that a worker has measured to others, by their ids: all that it knows. Its coordinate follows
// those to workers of the cluster.
func (l *Ledger) SeeRoundTrips(id string, all map[string]float64) {
	w := l.workers[id]
	if w == nil {
		return
	}
	said := map[string]float64{}
	for peer, ms := range all {
		if len(said) < maxRoundTrips && peer != id && ms > 0 && ms <= vivaldi.MaxRTT && !math.IsNaN(ms) {
			said[peer] = ms
		}
	}
	for peer := range l.measured[id] {
		delete(l.roundTrips[peer], id)
	}
	l.measured[id] = said
	for peer, ms := range said {
		if l.roundTrips[peer] == nil {
			l.roundTrips[peer] = map[string]float64{}
		}
		l.roundTrips[peer][id] = ms
		if other := l.workers[peer]; other != nil {
			l.approach(w, other, ms) // and no more: what one worker says moves no other
		}
	}
	maps.DeleteFunc(l.roundTrips, func(_ string, m map[string]float64) bool { return len(m) == 0 })
}

func (l *Ledger) approach(w, other *Worker, ms float64) {
	own, theirs := vivaldi.New(), vivaldi.New()
	if w.coordinate != nil {
		own = *w.coordinate
	}
	if other.coordinate != nil {
		theirs = *other.coordinate
	}
	next := vivaldi.Update(own, theirs, ms, seed(w.ID))
	w.coordinate = &next
}

// RoundTripsAbroad returns the round trips in ms to workers of other clusters, by their ids: the median of what the cluster's own have measured, for
// so many at most as one worker may tell.
func (l *Ledger) RoundTripsAbroad() map[string]float64 {
	all := map[string][]float64{}
	for _, said := range l.measured {
		for peer, ms := range said {
			if l.workers[peer] == nil {
				all[peer] = append(all[peer], ms)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	out := map[string]float64{}
	for _, peer := range sortedKeys(all) {
		if len(out) < maxRoundTrips {
			slices.Sort(all[peer])
			out[peer] = all[peer][len(all[peer])/2]
		}
	}
	return out
}

// Relax moves all workers a little closer to where the round trips that are known put them. Called again and again, it settles.
func (l *Ledger) Relax() {
	for _, id := range sortedKeys(l.measured) {
		w := l.workers[id]
		if w == nil {
			continue
		}
		for _, peer := range sortedKeys(l.measured[id]) {
			if other := l.workers[peer]; other != nil {
				l.approach(w, other, l.measured[id][peer])
			}
		}
	}
}

// Coordinate returns a worker's network coordinate; nil while nothing was measured.
func (l *Ledger) Coordinate(id string) *wire.Coordinate {
	if w := l.workers[id]; w != nil {
		return w.coordinate
	}
	return nil
}

// seed tells workers at one place apart.
func seed(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // it cannot fail
	return h.Sum64()
}
