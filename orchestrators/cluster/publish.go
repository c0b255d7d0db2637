// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
)

// republish publishes the retained state of all workers.
func (c *Cluster) republish() {
	c.mu.Lock()
	workers := c.ledger.Workers()
	c.mu.Unlock()
	for _, w := range workers {
		c.publishNode(w)
		c.publishDesired(w)
	}
}

// publishDesired publishes what a worker is to run. Callers hold decide, or are alone.
func (c *Cluster) publishDesired(worker string) {
	c.mu.Lock()
	d := c.ledger.DesiredOf(worker)
	c.revisions[worker]++
	stamp := wire.Stamp{Epoch: c.epoch.Load(), Revision: c.revisions[worker]}
	c.ledger.NoteDesired(worker, stamp)
	c.mu.Unlock()
	d.Header, d.LostAfterSeconds = wire.NewHeader(stamp), int(c.opts.LostAfter/time.Second)
	c.publish(worker, wire.TopicDesired, d, true)
}

// publishNode publishes a worker's overlay configuration, once root has told the ranges.
func (c *Cluster) publishNode(worker string) {
	c.mu.Lock()
	w, ok := c.ledger.Worker(worker)
	at := c.locationOf(w)
	ranges := c.link.Ranges
	c.revisions[worker]++
	stamp := wire.Stamp{Epoch: c.epoch.Load(), Revision: c.revisions[worker]}
	c.mu.Unlock()
	if !ok || !ranges.ServicesV4.IsValid() || len(w.Subnets) == 0 {
		return
	}
	c.publish(worker, wire.TopicNetNode, wire.NetNode{Header: wire.NewHeader(stamp), WorkerID: worker, Subnets: w.Subnets,
		Ranges: ranges, TunnelPort: c.opts.TunnelPort, Observer: c.observer(), Location: at}, true)
}

// publishNet publishes a message of the overlay's.
func (c *Cluster) publishNet(m overlay.Message) (bytes int) {
	if m.Encoded != nil {
		return c.publishEncoded(m.Worker, m.Name, m.Encoded, false)
	}
	return c.publish(m.Worker, m.Name, m.Payload, false)
}

func (c *Cluster) publish(worker, name string, payload any, retain bool) (bytes int) {
	b, err := json.Marshal(payload)
	if err != nil {
		c.log.Error("could not publish", "worker", worker, "topic", name, "error", err)
		return 0
	}
	return c.publishEncoded(worker, name, b, retain)
}

func (c *Cluster) publishEncoded(worker, name string, b []byte, retain bool) (bytes int) {
	if err := c.broker.Publish(wire.Topic(worker, name), b, retain); err != nil {
		c.log.Error("could not publish", "worker", worker, "topic", name, "error", err)
		return 0
	}
	c.gauges.published.Inc()
	return len(b)
}

// routeState is the state of a copy as routes tell it. One whose readiness probe fails, or that is about to be replaced, is told as created:
// every NetManager keeps its flows, gives it no new one, and lets those in who name that very instance.
func routeState(c *ledger.Copy, draining bool) wire.State {
	if ready := c.Report.Ready; c.Report.State == wire.StateRunning && (draining || ready != nil && !*ready) {
		return wire.StateCreated
	}
	return c.Report.State
}
