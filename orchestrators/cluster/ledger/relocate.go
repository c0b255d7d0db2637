// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// watchEvery is how often it is looked at whether instances are still near enough to what they have to be near to.
const watchEvery = 5 * time.Second

// watched returns the instances that run and that may miss a demand for so long only, if it is time to look at them.
func (l *Ledger) watched(now time.Time) (all []*Instance) {
	if now.Sub(l.lookedAt) < watchEvery {
		return nil
	}
	l.lookedAt = now
	for _, i := range l.instances {
		if !i.Wanted || !slices.ContainsFunc(i.Spec.Near, func(p wire.Proximity) bool { return p.ConvergenceTime > 0 }) {
			continue
		}
		if c := l.current(i.InstanceKey); c != nil && c.Generation.Placement == i.Placement && c.Report.State == wire.StateRunning && !l.needsPlace(i, now) {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *Instance) int { return a.InstanceKey.Compare(b.InstanceKey) })
	return all
}

// relocate finds another worker for every instance that has been too far away for longer than one of its demands allows. It goes on where it is
// until it runs on the other one, and for good if there is none.
func (l *Ledger) relocate(watched []*Instance, pool *scheduler.Pool, near *neighbours, now time.Time, ch *Changes) {
	for _, i := range watched {
		c := l.current(i.InstanceKey)
		here, ok := pool.Candidate(c.Worker)
		if !ok {
			continue
		}
		missed := time.Duration(-1) // the shortest time that a missed demand allows
		for n := range i.Spec.Near {
			p := &i.Spec.Near[n]
			if d := near.demand(p); p.ConvergenceTime > 0 && !d.Met(&here) {
				if allowed := time.Duration(p.ConvergenceTime * float64(time.Second)); missed < 0 || allowed < missed {
					missed = allowed
				}
			}
		}
		switch {
		case missed < 0:
			i.missedSince = time.Time{}
			continue
		case i.missedSince.IsZero():
			i.missedSince = now
		}
		if now.Sub(i.missedSince) < missed {
			continue
		}
		req := l.request(i, near, now)
		if req.Exclude == nil {
			req.Exclude = map[string]string{}
		}
		req.Exclude[c.Worker] = "is too far from what the service has to be near to"
		placement, why := pool.PlaceAndReserve(&req, l.options.Strategy)
		if !placement.Found() {
			continue
		}
		why.Tier, why.At = wire.TierCluster, now.UTC()
		why.Notes = append(why.Notes, "moved from "+l.workerName(c.Worker)+", which was too far away for "+now.Sub(i.missedSince).Round(time.Second).String())
		i.missedSince = time.Time{}
		near.placed(i.ServiceID, placement.ID)
		l.give(i, placement.ID, &why, now, ch)
	}
}
