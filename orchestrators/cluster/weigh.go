// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
)

// weighEvery is how often the overlay hears how busy instances and where workers are, and with it how often routes are sent for that reason
// at most, whatever workers say.
const weighEvery = 5 * time.Second

// runWeights keeps what policies weigh instances by up to date.
func (c *Cluster) runWeights(ctx context.Context) {
	tick := time.NewTicker(c.opts.weighEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.feedWeights()
		}
	}
}

func (c *Cluster) feedWeights() {
	places := map[string]*wire.Location{}
	c.mu.Lock()
	c.ledger.Relax()
	loads := c.ledger.Loads(time.Now())
	for _, id := range c.ledger.Workers() {
		w, _ := c.ledger.Worker(id)
		places[id] = c.locationOf(w)
	}
	c.mu.Unlock()
	said := make(map[overlay.CopyKey]float64, len(loads))
	for id, load := range loads {
		said[overlay.CopyKey(id)] = load
	}
	var moved []string
	c.plane.Do(func(core *overlay.Core) []overlay.Message {
		core.SetLoads(said)
		for id, at := range places {
			if core.Locate(id, at) {
				moved = append(moved, id)
			}
		}
		return nil
	})
	for _, id := range moved {
		c.publishNode(id)
	}
}

// locationOf is where a worker says that it is, or else where its cluster is; nil if neither is known, or it has not spoken yet. Callers hold
// mu.
func (c *Cluster) locationOf(w ledger.Worker) *wire.Location {
	if w.Info.IsZero() || w.Info.Location != nil {
		return w.Info.Location
	}
	if at, _, ok := geo.Parse(c.opts.Location); ok {
		return &at
	}
	return nil
}
