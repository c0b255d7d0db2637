// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
)

const (
	// gatherAbroad is how long what other clusters have to know is gathered, and the least time between two messages of it.
	gatherAbroad = 5 * time.Millisecond
	spaceAbroad  = 20 * time.Millisecond
	// storeAbroadEvery is the least time between two copies of what is known of others into the database.
	storeAbroadEvery = time.Second
	// olderRoot is how long a root that does not know of this conversation is left alone: until it may have been upgraded.
	olderRoot = time.Minute
)

// runAbroad asks root for what there is to know of other clusters until ctx ends. What it has said stays when it is away.
func (c *Cluster) runAbroad(ctx context.Context, client *uplink.Client) {
	retry := uplink.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	held := ""
	for ctx.Err() == nil {
		begin := time.Now()
		m, err := client.Abroad(ctx, held, wire.MaxWait)
		if err == nil {
			err = c.takeAbroad(m)
		}
		c.plane.Do(func(core *overlay.Core) []overlay.Message { core.SetAsking(err == nil); return nil })
		if err != nil {
			held = ""
			if refused := (*uplink.Refusal)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotFound {
				c.log.Debug("root knows nothing of other clusters' workers; it is asked again later", "error", err)
				pause(ctx, olderRoot)
				continue
			}
			if ctx.Err() == nil {
				c.logAway("root does not tell of other clusters; going on with what is known of them", err)
			}
			retry.Wait(ctx)
			continue
		}
		same := held == m.Held
		held = m.Held
		if !same || time.Since(begin) > quickAnswer {
			retry.Reset()
		} else if !retry.Wait(ctx) {
			return
		}
	}
}

// takeAbroad applies what root says of other clusters, unless it is of an epoch that is over, as of a root that was cut off from its database.
func (c *Cluster) takeAbroad(m *wire.ClusterAbroad) error {
	c.mu.Lock()
	known := max(c.abroadEpoch, c.link.Applied.Epoch)
	if m.Epoch >= known || known > uint64(time.Now().Add(maxAhead).UnixMilli()) {
		if c.abroadEpoch != m.Epoch {
			c.abroadEpoch = m.Epoch
			wake(c.wakeAbroad) // root wants everything in each of its epochs
		}
		known = m.Epoch
	}
	c.mu.Unlock()
	if m.Epoch < known {
		return fmt.Errorf("ignore what root says of other clusters in epoch %d: %d is known", m.Epoch, known)
	}
	if !m.Full && len(m.Services)+len(m.Workers)+len(m.Answers) == 0 && m.Gone.IsZero() {
		return nil
	}
	c.plane.Do(func(core *overlay.Core) []overlay.Message { core.ApplyAbroad(*m); return nil })
	wake(c.wakeKeeper)
	return nil
}

// runKeeper copies what is known of other clusters into the database, at most every second.
func (c *Cluster) runKeeper(ctx context.Context) {
	retry := uplink.Backoff{Least: storeAbroadEvery, Most: 10 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wakeKeeper:
		}
		var m wire.ClusterAbroad
		c.plane.Do(func(core *overlay.Core) []overlay.Message { m = core.Abroad(); return nil })
		c.mu.Lock()
		m.Header = wire.NewHeader(wire.Stamp{Epoch: c.abroadEpoch})
		c.mu.Unlock()
		err := c.inEpoch(ctx, func(tx pgx.Tx) error {
			return records.StoreAbroad(ctx, tx, &m)
		})
		if err != nil {
			if errors.Is(err, records.ErrTakenOver) {
				return // the decider ends the process
			}
			c.log.Debug("could not store what is known of other clusters, trying again", "error", err)
			wake(c.wakeKeeper)
		} else {
			retry.Reset()
		}
		if !retry.Wait(ctx) {
			return
		}
	}
}

// loadAbroad starts from what was known of other clusters in an earlier life.
func (c *Cluster) loadAbroad(ctx context.Context, core *overlay.Core) error {
	m, err := records.LoadAbroad(ctx, c.pool)
	if err != nil || m == nil || m.Check() != nil {
		return err
	}
	core.ApplyAbroad(*m)
	c.abroadEpoch = m.Epoch
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
