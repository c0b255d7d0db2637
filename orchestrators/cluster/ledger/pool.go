// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// pool returns all workers with what copies reserve on them. It is made anew for each pass, from the copies: what is kept beside them could
// come to differ from them.
func (l *Ledger) pool(now time.Time) *scheduler.Pool {
	candidates := make([]scheduler.Candidate, 0, len(l.workers))
	for id, w := range l.workers {
		candidates = append(candidates, scheduler.Candidate{ID: id, Name: w.Name, Arch: w.Info.Architecture, Runtimes: w.Info.Runtimes,
			Addons: w.Info.Addons, VolumeDrivers: w.Info.VolumeDrivers, Unprivileged: w.Info.Privileged != nil && !*w.Info.Privileged, Unavailable: w.unavailable(now, l.options), Capacity: w.Info.Capacity,
			Free: w.Info.Capacity, UsedPorts: w.Info.UsedPorts, Where: l.where(w)})
	}
	pool := scheduler.NewPool(candidates)
	for _, list := range l.copies {
		for n, c := range list {
			if !c.reserves() {
				continue
			}
			req := holds(list, n)
			pool.Reserve(c.Worker, &req)
			if c.Stop { // it holds what it has until it is gone, but is no reason to keep away from the worker
				pool.Count(c.ServiceID, c.Worker, -1)
			}
		}
	}
	return pool
}

// where is the place of a worker: what it says, or else its cluster's.
func (l *Ledger) where(w *Worker) wire.Point {
	p := wire.Point{Location: w.Info.Location, Coordinate: w.coordinate}
	if p.Location == nil && l.options.Where.Location != nil {
		p.Location, p.RadiusKM = l.options.Where.Location, l.options.Where.RadiusKM
	}
	return p
}

// request is what an instance asks of a worker.
func (l *Ledger) request(i *Instance, near *neighbours, now time.Time) scheduler.Request {
	req := scheduler.FromSpec(i.ServiceID, &i.Spec)
	req.Exclude = l.excluded(i, now)
	for n := range i.Spec.Near {
		req.Near = append(req.Near, near.demand(&i.Spec.Near[n]))
	}
	return req
}

// neighbours finds the instances that others have to be near to.
type neighbours struct {
	l        *Ledger
	services map[string][]scheduler.Target // those that were asked for
	fresh    map[string][]string           // workers to which this pass has given an instance, by service
}

func (l *Ledger) neighbours() *neighbours { return &neighbours{l: l} }

// placed notes that an instance of a service is to run on a worker.
func (n *neighbours) placed(service, worker string) {
	if n.fresh == nil {
		n.fresh = map[string][]string{}
	}
	if !slices.Contains(n.fresh[service], worker) {
		n.fresh[service] = append(n.fresh[service], worker)
	}
}

// demand resolves a proximity: to a service's instances here, and to what root knows of elsewhere.
func (n *neighbours) demand(p *wire.Proximity) scheduler.Demand {
	d := scheduler.DemandOf(p)
	if p.Service == "" {
		return d
	}
	if n.services == nil {
		n.services = map[string][]scheduler.Target{}
	}
	targets, known := n.services[p.Service]
	known = known && len(n.fresh[p.Service]) == 0
	if !known {
		workers := map[string]struct{}{}
		for _, id := range n.fresh[p.Service] {
			workers[id] = struct{}{}
		}
		for key := range n.l.index.byService[p.Service] {
			for _, c := range n.l.copies[key] {
				if n.l.workers[c.Worker] != nil && !c.Stop && c.reserves() {
					workers[c.Worker] = struct{}{}
				}
			}
		}
		for _, id := range sortedKeys(workers) {
			targets = append(targets, scheduler.Target{Point: n.l.where(n.l.workers[id]), Candidate: id, Measured: n.l.roundTrips[id]})
		}
		n.services[p.Service] = targets
	}
	d.Targets = append(d.Targets, targets...)
	return d
}
