// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
	"github.com/oakestra/oakestra-ebpf/tools/sim/workload"
)

// persisted measures how many placements a second are stored, with fsync on: in the cluster, whose placements say which worker has an
// instance, and in root, whose say which cluster. The middle nine tenths count, so that neither the first nor the last one's way does.
func persisted(ctx context.Context, o *Options, r *Result) error {
	const services, instances = 10, 200
	s, err := raise(ctx, o, bed.Options{}, fleet.Options{Workers: 100, Create: hollowTakes, Capacity: fleet.LargeCapacity})
	if err != nil {
		return err
	}
	defer s.close()
	app, err := workload.Create(ctx, s.Client, workload.Shape{Name: "persisted", Services: services, Instances: instances, Image: image, MemoryMB: 16, VCPUs: 1})
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	clusters, roots := make(chan counted, 1), make(chan counted, 1)
	go func() {
		clusters <- count(within, s.ClusterDatabase(), `SELECT count(*) FROM placement`, services*instances)
	}()
	go func() {
		roots <- count(within, s.RootDatabase(), `SELECT count(*) FROM instance WHERE cluster_id IS NOT NULL`, services*instances)
	}()
	began := time.Now()
	if err := app.Scale(within, 4); err != nil {
		return err
	}
	c, ro := <-clusters, <-roots
	if c.err != nil || ro.err != nil {
		return fmt.Errorf("count placements: cluster: %w, root: %w", c.err, ro.err)
	}
	r.add("placements stored a second, cluster", c.rate(), "/s").atLeast(1000)
	r.add("placements stored a second, root", ro.rate(), "/s").atLeast(1000)
	running, err := app.AwaitRunning(within, 100*time.Millisecond)
	if err != nil {
		return err
	}
	r.add("instances a second, API to RUNNING", services*instances/running.Sub(began).Seconds(), "/s")
	return nil
}

// counted is how a number of rows has grown.
type counted struct {
	n        int
	low, top time.Time // when a twentieth, and all but a twentieth, was there
	lowN     int
	topN     int
	err      error
}

func (c counted) rate() float64 {
	if d := c.top.Sub(c.low).Seconds(); d > 0 {
		return float64(c.topN-c.lowN) / d
	}
	return float64(c.n) / countEvery.Seconds() // all within one look
}

const countEvery = 10 * time.Millisecond

// count looks at a number of rows until it is n.
func count(ctx context.Context, database, query string, n int) (c counted) {
	c.n = n
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		c.err = err
		return c
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		var have int
		if c.err = conn.QueryRow(ctx, query).Scan(&have); c.err != nil {
			return c
		}
		now := time.Now()
		if have < n/20 || c.low.IsZero() {
			c.low, c.lowN = now, have
		}
		if have >= n-n/20 {
			c.top, c.topN = now, have
			return c
		}
		if c.err = rest(ctx, countEvery); c.err != nil {
			return c
		}
	}
}
