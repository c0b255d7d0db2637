// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
)

// exporter tells root what other clusters have to know of this one. Only its own goroutine uses it.
type exporter struct {
	c      *Cluster
	client *uplink.Client
	// told is what root has acknowledged, in the epoch of root's; full says that everything is to be told.
	told     overlay.Export
	epoch    uint64
	full     bool
	revision uint64
}

// runExport tells root whenever something is news, until ctx ends.
func (c *Cluster) runExport(ctx context.Context, client *uplink.Client) {
	x := &exporter{c: c, client: client, full: true}
	retry := uplink.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	tick := time.NewTicker(reportEvery) // a worker settles by the clock
	defer tick.Stop()
	for {
		pause(ctx, gatherAbroad)
		if ctx.Err() != nil {
			return
		}
		if err := x.send(ctx); err != nil {
			if refused := (*uplink.Refusal)(nil); errors.As(err, &refused) {
				x.full = true // it may have lost what it had, or this process is not the newest
			}
			if ctx.Err() == nil {
				c.logAway("root does not take what other clusters have to know; it is told again", err)
			}
			if !retry.Wait(ctx) {
				return
			}
			continue
		}
		retry.Reset()
		pause(ctx, spaceAbroad-gatherAbroad)
		select {
		case <-ctx.Done():
			return
		case <-c.plane.Exported():
		case <-c.wakeAbroad:
		case <-tick.C:
		}
	}
}

// send tells root what has changed, if anything.
func (x *exporter) send(ctx context.Context) error {
	c := x.c
	now := c.plane.Export(time.Now())
	c.mu.Lock()
	epoch := c.abroadEpoch
	c.mu.Unlock()
	if epoch == 0 {
		return nil // root has not answered yet
	}
	full := (x.full || epoch != x.epoch) && now.Settled
	m := compare(x.told, now, full)
	if !full && len(m.Workers)+len(m.Wants)+len(m.Names)+len(m.Offers) == 0 && m.Gone.IsZero() {
		return nil
	}
	x.revision++
	m.Header = wire.NewHeader(wire.Stamp{Epoch: c.epoch.Load(), Revision: x.revision})
	ack, err := x.client.Overlay(ctx, m)
	if err != nil {
		return err
	}
	if !now.Settled {
		now = now.With(x.told) // what it lacks has not been taken back
	}
	x.told = now
	if full {
		x.full, x.epoch = false, ack.Epoch
	} else if ack.SendFull {
		x.full = true
		wake(c.wakeAbroad)
	}
	return nil
}

// compare returns what root lacks of what is to be told now; everything if full. Nothing is taken back before all workers have been heard of.
func compare(told, now overlay.Export, full bool) *wire.ClusterOverlay {
	if full {
		told = overlay.Export{}
	}
	m := &wire.ClusterOverlay{Full: full}
	m.Workers, m.Gone.Workers = news(told.Workers, now.Workers, cmp.Compare[string])
	m.Wants, m.Gone.Wants = news(told.Wants, now.Wants, netip.Addr.Compare)
	m.Offers, m.Gone.Offers = news(told.Offers, now.Offers, cmp.Compare[string])
	for n := range now.Names {
		if _, ok := told.Names[n]; !ok {
			m.Names = append(m.Names, n)
		}
	}
	for n := range told.Names {
		if _, ok := now.Names[n]; !ok {
			m.Gone.Names = append(m.Gone.Names, n)
		}
	}
	if !now.Settled {
		m.Gone = wire.OverlayGone{}
	}
	return m
}

// news returns, in order, what now has that told lacks or has otherwise, and the keys that now lacks.
func news[K comparable, V any](told, now map[K]V, order func(K, K) int) (changed []V, gone []K) {
	for _, k := range slices.SortedFunc(maps.Keys(now), order) {
		if have, ok := told[k]; !ok || !reflect.DeepEqual(have, now[k]) {
			changed = append(changed, now[k])
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(told), order) {
		if _, ok := now[k]; !ok {
			gone = append(gone, k)
		}
	}
	return changed, gone
}
