// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Run sends until ctx ends, says goodbye and closes the session.
func (u *Uplink) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { u.sendInstances(ctx) })
	wg.Go(func() { u.sendInformation(ctx) })
	wg.Go(func() { u.sampleUsage(ctx) })
	wg.Go(func() { u.applyPending(ctx, applyInterval) })
	wg.Wait()
	u.goodbye(context.WithoutCancel(ctx))
	u.session.Close()
}

// goodbye says that the program ends, which stops new placements at once.
func (u *Uplink) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeTimeout)
	defer cancel()
	if m, err := u.aliveMessage(false); err == nil && u.session.Connected() {
		_ = u.session.Publish(ctx, m) // the will says the same, later
	}
}

func (u *Uplink) sendInstances(ctx context.Context) {
	full := time.NewTicker(fullInterval)
	defer full.Stop()
	var told wire.Stamp // the stamp of the desired state that the cluster knows to be stored here
	for {
		select {
		case <-ctx.Done():
			return
		case <-full.C:
			u.opts.Agent.WantFull()
			continue
		case <-u.opts.Agent.Changes():
		}
		if !u.session.Connected() { // the connect brings everything
			continue
		}
		if !sleep(ctx, coalesce) {
			return
		}
		list, full, applied := u.opts.Agent.TakeReport()
		if len(list) == 0 && !full && applied == told {
			continue
		}
		u.instRev++
		m := wire.Instances{Header: wire.NewHeader(wire.Stamp{Epoch: u.opts.Epoch, Revision: u.instRev}), Full: full, Instances: list, Applied: applied}
		if m.Instances == nil {
			m.Instances = []wire.WorkerInstance{}
		}
		if err := u.send(ctx, wire.TopicInstances, m); err != nil && ctx.Err() == nil {
			if !errors.Is(err, mqtt.ErrNotConnected) {
				u.opts.Log.Warn("states of instances are not sent, all will be sent again", "error", err)
			}
			if !sleep(ctx, time.Second) {
				return
			}
			u.opts.Agent.WantFull()
			continue
		}
		told = applied
	}
}

func (u *Uplink) sendInformation(ctx context.Context) {
	tick := time.NewTicker(informationInterval)
	defer tick.Stop()
	for rev := uint64(1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-u.hurry:
		}
		if !u.session.Connected() {
			continue
		}
		info, err := u.opts.Information(ctx)
		if err != nil {
			u.opts.Log.Warn("the worker's resources cannot be read", "error", err)
			continue
		}
		info.Header = wire.NewHeader(wire.Stamp{Epoch: u.opts.Epoch, Revision: rev})
		rev++
		if err := u.send(ctx, wire.TopicInformation, info); err != nil && ctx.Err() == nil && !errors.Is(err, mqtt.ErrNotConnected) {
			u.opts.Log.Warn("information is not sent", "error", err)
		}
	}
}

// applyPending tries a desired state that could not be stored again, until a newer one has come.
func (u *Uplink) applyPending(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d := u.pending.Load()
		if d == nil || u.opts.Agent.Apply(*d) != nil {
			continue
		}
		if u.pending.CompareAndSwap(d, nil) {
			u.refused.Store(nil)
			u.opts.Log.Info("desired state is stored after all", "stamp", d.String())
		}
	}
}

func (u *Uplink) sampleUsage(ctx context.Context) {
	tick := time.NewTicker(usageInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(ctx, usageInterval)
			u.opts.Agent.SampleUsage(ctx)
			cancel()
		}
	}
}

func (u *Uplink) send(ctx context.Context, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return u.session.Publish(ctx, mqtt.Message{Topic: u.topic(name), Payload: data})
}

// sleep returns false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
