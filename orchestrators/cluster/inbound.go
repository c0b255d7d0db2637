// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
)

type unclaimedInstance = wire.WorkerInstance

// maxUnclaimed bounds the instances of one worker that wait to be adopted.
const maxUnclaimed = 4096

// nul is how JSON writes the one character that Postgres takes in no text: a message with it could never be stored.
const nul = `\u0000`

// subscribe has the handlers below called with what workers write.
func (c *Cluster) subscribe() error {
	for name, handle := range map[string]func(worker string, payload []byte) error{
		wire.TopicInformation:  decoded(c.onInformation),
		wire.TopicInstances:    decoded(c.onInstances),
		wire.TopicAliveEngine:  decoded(c.onAliveEngine),
		wire.TopicAliveNet:     decoded(c.onAliveNet),
		wire.TopicNetEndpoints: decoded(c.onEndpoints),
		wire.TopicNetInterest:  decoded(c.onInterest),
	} {
		err := c.broker.Subscribe(wire.Topic("+", name), func(topic string, payload []byte) {
			if len(payload) == 0 {
				return // a retained message that was cleared says nothing
			}
			worker, _, _ := strings.Cut(strings.TrimPrefix(topic, "nodes/"), "/")
			if err := handle(worker, payload); err != nil {
				c.gauges.refused.Inc()
				c.log.Warn("message of a worker refused", "worker", worker, "topic", name, "error", err)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decoded reads a message and checks its format before handing it on.
func decoded[M any](handle func(worker string, m M)) func(string, []byte) error {
	return func(worker string, payload []byte) error {
		if bytes.Contains(payload, []byte(nul)) {
			return errors.New("read message: a text in it holds a NUL, which cannot be stored")
		}
		var m M
		if err := json.Unmarshal(payload, &m); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		if h, ok := any(m).(interface{ Check() error }); ok {
			if err := h.Check(); err != nil {
				return err
			}
		}
		handle(worker, m)
		return nil
	}
}

func (c *Cluster) onInformation(worker string, m wire.Information) {
	c.mu.Lock()
	significant := c.ledger.SeeInformation(worker, m, time.Now())
	c.mu.Unlock()
	if significant {
		wake(c.wakeDecider)
		wake(c.wakeReporter)
	}
}

func (c *Cluster) onInstances(worker string, m wire.Instances) {
	c.noteEpoch(worker, m.Applied.Epoch)
	c.mu.Lock()
	seen := c.ledger.SeeInstances(worker, m, time.Now())
	for _, id := range seen.Changed {
		c.behind.copies[id] = struct{}{}
	}
	for _, wi := range seen.Unclaimed {
		if c.unclaimed[worker] == nil {
			c.unclaimed[worker] = map[ledger.CopyID]unclaimedInstance{}
		}
		if len(c.unclaimed[worker]) < maxUnclaimed {
			c.unclaimed[worker][ledger.CopyID{InstanceKey: wi.InstanceKey, Generation: wi.Generation}] = wi
		}
	}
	c.mu.Unlock()
	if seen.Refused > 0 {
		c.gauges.refused.Add(float64(seen.Refused))
		c.log.Warn("states refused that are none of an instance", "worker", worker, "count", seen.Refused)
	}
	c.feedSoon(seen.Services)
	if len(seen.Changed) > 0 {
		wake(c.wakeReporter)
		wake(c.wakeWriter)
	}
	if seen.Settled || len(seen.Changed)+len(seen.Unclaimed) > 0 {
		wake(c.wakeDecider)
	}
}

func (c *Cluster) onAliveEngine(worker string, m wire.Alive) {
	c.mu.Lock()
	news := c.ledger.SeeEngine(worker, m, time.Now())
	c.mu.Unlock()
	if news {
		c.log.Info("worker", "worker", worker, "present", m.Present, "session", m.Session)
		wake(c.wakeDecider)
		wake(c.wakeReporter)
	}
}

func (c *Cluster) onAliveNet(worker string, m wire.Alive) {
	c.mu.Lock()
	c.ledger.SeeNet(worker, m)
	c.mu.Unlock()
}

func (c *Cluster) onEndpoints(worker string, m wire.NetEndpoints) {
	var changed bool
	var refused []string
	trips := m.RoundTrips
	m.RoundTrips = nil // is neither stored nor passed on
	c.mu.Lock()
	c.ledger.SeeRoundTrips(worker, trips)
	c.mu.Unlock()
	c.plane.Do(func(core *overlay.Core) []overlay.Message {
		changed, refused = core.SetEndpoints(worker, m, true)
		return nil
	})
	if len(refused) > 0 { // one line, however many a worker sends
		c.gauges.refused.Add(float64(len(refused)))
		c.log.Warn("endpoints refused", "worker", worker, "count", len(refused), "first", refused[0])
	}
	if changed {
		c.mu.Lock()
		c.behind.put(worker).Endpoints = &m
		c.mu.Unlock()
		wake(c.wakeWriter)
	}
}

func (c *Cluster) onInterest(worker string, m wire.NetInterest) {
	var changed bool
	c.feedPending() // lest a service be called unknown that is merely new
	c.plane.Do(func(core *overlay.Core) (out []overlay.Message) {
		out, changed = core.SetInterest(worker, m, time.Now())
		return out
	})
	held := m.Peers.Epoch
	for _, a := range m.Addresses {
		held = max(held, a.Held.Epoch)
	}
	for _, n := range m.Names {
		held = max(held, n.Held.Epoch)
	}
	c.noteEpoch(worker, held)
	if changed {
		m.Names = nil // nobody is told of them without having asked again
		c.mu.Lock()
		c.behind.put(worker).Interest = &m
		c.mu.Unlock()
		wake(c.wakeWriter)
	}
}
