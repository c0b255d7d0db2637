// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// roundTripsHold is for how long what was measured between two clusters is believed: the way between places seldom changes, and clusters
// measure only while their workers talk.
const roundTripsHold = 7 * 24 * time.Hour

// clusterPair are two clusters, in either order.
type clusterPair struct{ from, to string }

// storeRoundTrips notes how long the way from a cluster's workers to those of others takes: the median over those that root knows of. What has
// hardly changed since the last hour is not written again.
func storeRoundTrips(ctx context.Context, tx pgx.Tx, clusterID string, byWorker map[string]float64) error {
	if len(byWorker) == 0 {
		return nil
	}
	workers := slices.Collect(maps.Keys(byWorker))
	ms := make([]float64, len(workers))
	for n, w := range workers {
		ms[n] = byWorker[w]
	}
	_, err := tx.Exec(ctx, `INSERT INTO cluster_round_trip AS r (cluster_id, other_id, ms)
		SELECT $1, w.cluster_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY m.ms)
		FROM unnest($2::text[], $3::float8[]) AS m (worker, ms) JOIN overlay_worker w ON w.worker_id = m.worker
		WHERE w.cluster_id <> $1 GROUP BY w.cluster_id
		ON CONFLICT (cluster_id, other_id) DO UPDATE SET ms = excluded.ms, told_at = excluded.told_at
		WHERE abs(r.ms - excluded.ms) > r.ms / 10 OR r.told_at < now() - interval '1 hour'`, clusterID, workers, ms)
	if err != nil {
		return fmt.Errorf("store round trips from cluster %s: %w", clusterID, err)
	}
	return nil
}

// measure reads what was measured between clusters, once. Of two that have both measured the shorter way counts.
func (v *clusterView) measure(ctx context.Context, tx pgx.Tx) error {
	if v.roundTrips != nil {
		return nil
	}
	v.roundTrips = map[clusterPair]float64{}
	rows, err := tx.Query(ctx, `SELECT cluster_id, other_id, ms FROM cluster_round_trip WHERE told_at > now() - $1::interval`, roundTripsHold)
	if err != nil {
		return fmt.Errorf("read round trips between clusters: %w", err)
	}
	var a, b string
	var ms float64
	_, err = pgx.ForEachRow(rows, []any{&a, &b, &ms}, func() error {
		for _, pair := range []clusterPair{{a, b}, {b, a}} {
			if known, ok := v.roundTrips[pair]; !ok || ms < known {
				v.roundTrips[pair] = ms
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read round trips between clusters: %w", err)
	}
	return nil
}

// fromEach adds to the targets of a demand how long the way to them takes from each cluster, as far as that was measured.
func (v *clusterView) fromEach(d *scheduler.Demand) {
	for n := range d.Targets {
		t := &d.Targets[n]
		for _, c := range v.clusters {
			ms, ok := v.roundTrips[clusterPair{c.id, t.Cluster}]
			if !ok {
				continue
			}
			if t.Measured == nil {
				t.Measured = map[string]float64{}
			}
			t.Measured[c.id] = ms
			for _, g := range c.aggregate.Groups {
				t.Measured[groupID(c.id, &g)] = ms
			}
		}
	}
}
