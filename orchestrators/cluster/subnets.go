// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
)

// Workers that find no subnet free wait for root to lease more, if it answers: it does within some ten milliseconds.
const (
	subnetWait     = 2 * time.Second
	maxSubnetWaits = 256
	// demandWindow is how far back joins count: about as many more come until root's next lease is known.
	demandWindow = time.Second
)

// demand is how many worker subnets will be wanted soon. Callers hold mu.
type demand struct {
	joins   []time.Time // of the last demandWindow
	waiting int
	// came is closed, and replaced, when subnets were leased.
	came chan struct{}
}

func newDemand() demand { return demand{came: make(chan struct{})} }

func (d *demand) joined(now time.Time) {
	d.joins = append(d.within(now), now)
}

// within returns the joins that still count.
func (d *demand) within(now time.Time) []time.Time {
	return slices.DeleteFunc(d.joins, func(t time.Time) bool { return now.Sub(t) > demandWindow })
}

// wanted is what root is told.
func (d *demand) wanted(now time.Time) int {
	d.joins = d.within(now)
	return len(d.joins) + d.waiting
}

func (d *demand) leased() {
	close(d.came)
	d.came = make(chan struct{})
}

// takeInWhenThereIsRoom takes a worker in. While no subnet is free it waits for root to lease some, for a moment.
func (c *Cluster) takeInWhenThereIsRoom(ctx context.Context, token string, keyHash []byte, req *wire.WorkerJoinRequest) (w records.Worker, fresh bool, err error) {
	late := time.NewTimer(subnetWait)
	defer late.Stop()
	for {
		c.mu.Lock()
		came := c.demand.came
		c.mu.Unlock()
		if w, fresh, err = c.takeIn(ctx, token, keyHash, req); !errors.Is(err, records.ErrNoSubnet) || !c.connected.Load() {
			return w, fresh, err
		}
		if !c.wait(ctx, came, late.C) {
			return w, fresh, err
		}
	}
}

// wait waits until subnets were leased, and reports whether they were.
func (c *Cluster) wait(ctx context.Context, came <-chan struct{}, late <-chan time.Time) bool {
	c.mu.Lock()
	if c.demand.waiting >= maxSubnetWaits {
		c.mu.Unlock()
		return false
	}
	c.demand.waiting++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.demand.waiting--
		c.mu.Unlock()
	}()
	wake(c.wakeReporter)
	select {
	case <-ctx.Done():
		return false
	case <-late:
		return false
	case <-came:
		return true
	}
}
