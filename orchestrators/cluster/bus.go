// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
)

// bus is the cluster's way to its workers: the built-in broker, or a session with an external one.
type bus interface {
	// Publish does not wait for receivers; the payload must not be changed afterwards.
	Publish(topic string, payload []byte, retain bool) error
	Subscribe(filter string, h func(topic string, payload []byte)) error
	Close() error
}

// makeBus makes the way to the workers, which nobody can use yet.
func (c *Cluster) makeBus() (err error) {
	if len(c.opts.Brokers) == 0 {
		c.builtin, err = broker.New(c.log)
		c.broker = c.builtin
		return err
	}
	conf, err := external.TLS(c.ca)
	if err != nil {
		return err
	}
	c.outer = external.New(external.Options{Brokers: c.opts.Brokers, TLS: conf, Log: c.log, OnConnect: func() {
		c.met.Store(true)
		wake(c.wakeDecider)
	}})
	c.broker = c.outer
	return nil
}

// openBuiltin opens the built-in broker, if that is used, and returns where workers are told to find theirs.
func (c *Cluster) openBuiltin(ctx context.Context, conf *tls.Config) (brokers []string, err error) {
	if c.builtin == nil {
		return c.opts.AdvertiseBrokers, nil
	}
	ln := c.opts.MQTTListener
	if ln == nil {
		if ln, err = listen(ctx, c.opts.MQTTListen, "--mqtt-listen"); err != nil {
			return nil, err
		}
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("read broker address: %w", err)
	}
	if err := c.builtin.Serve(ln, conf); err != nil {
		return nil, err
	}
	c.log.Info("broker open", "address", ln.Addr().String())
	return []string{":" + port}, nil
}

// openOuter starts the session with an external broker, if there is one, after all else is ready. What is retained there may be of
// another life of this cluster: it is read like any message of a worker, and overruled.
func (c *Cluster) openOuter() error {
	if c.outer == nil {
		return nil
	}
	for _, name := range []string{wire.TopicDesired, wire.TopicNetNode} {
		err := c.outer.Subscribe(wire.Topic("+", name), func(topic string, payload []byte) {
			worker, _, _ := strings.Cut(strings.TrimPrefix(topic, "nodes/"), "/")
			c.overrule(worker, payload)
		})
		if err != nil {
			return err
		}
	}
	return c.outer.Open()
}

// overrule looks at state of this cluster's own that the broker holds. A lower epoch, or what cannot be read, is published over; a
// higher one is as if a worker held it, since some do or will.
func (c *Cluster) overrule(worker string, payload []byte) {
	var held wire.Stamp
	if len(payload) == 0 || json.Unmarshal(payload, &held) != nil {
		held = wire.Stamp{}
	}
	epoch := c.epoch.Load()
	if held.Epoch > epoch {
		c.noteEpoch(worker, held.Epoch)
	}
	if held.Epoch == epoch {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.ledger.Worker(worker); known {
		c.overruled[worker] = struct{}{}
		wake(c.wakeDecider)
	}
}

// republishOverruled publishes the retained state of workers anew of whom the broker held another.
func (c *Cluster) republishOverruled() {
	c.mu.Lock()
	workers := slices.Sorted(maps.Keys(c.overruled))
	clear(c.overruled)
	c.mu.Unlock()
	if len(workers) == 0 {
		return
	}
	c.decide.Lock()
	defer c.decide.Unlock()
	for _, w := range workers {
		c.publishNode(w)
		c.publishDesired(w)
	}
}

// meetOuter publishes everything after a connect to an external broker, under a new epoch: it may have been away or begun anew, and
// workers that were connected all along have said what nobody heard. The new epoch has them say everything again.
func (c *Cluster) meetOuter(ctx context.Context) error {
	if c.outer == nil || !c.met.Load() {
		return nil
	}
	c.met.Store(false)
	c.log.Info("external broker reached: publishing everything under a new epoch")
	if err := c.renewEpoch(ctx, c.epoch.Load()); err != nil {
		c.met.Store(true)
		return err
	}
	return nil
}

// away is how long nobody may have looked at the workers before that is held against nobody: several times [decideEvery].
const away = 4 * time.Second

// noteAway forgives workers the time in which they could not be heard: this process was held, or had no broker to hear them by.
// Callers hold mu.
func (c *Cluster) noteAway(now time.Time) {
	gap := now.Sub(c.looked)
	c.looked = now
	if gap > away || c.outer != nil && !c.outer.Connected() {
		c.ledger.Away(gap, now)
	}
}

// runAway notes what the decider, who may be waiting for Postgres, does not.
func (c *Cluster) runAway(ctx context.Context) {
	tick := time.NewTicker(decideEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		c.noteAway(time.Now())
		c.mu.Unlock()
	}
}
