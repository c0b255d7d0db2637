// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// activeFor is how long after its last report a cluster is taken for active: six reports of 5 s.
const activeFor = 30 * time.Second

// clusterState is a cluster as scheduling sees it.
type clusterState struct {
	id, name, location string
	active             bool
	aggregate          wire.Aggregate
	// reserved is what root has given to the cluster and the cluster's aggregate does not hold yet, by architecture; "" for
	// instances that any architecture suits.
	reserved map[string]wire.Slot
}

// clusterView is all clusters, as of one transaction.
type clusterView struct{ clusters []*clusterState }

// loadClusters reads all clusters and what is reserved on them: an instance is in state CLUSTER_SCHEDULED exactly from when
// root gives it away until a report tells more, and that report's aggregate takes it into account.
func loadClusters(ctx context.Context, tx pgx.Tx) (*clusterView, error) {
	rows, err := tx.Query(ctx, `SELECT id, name, location, coalesce(reported_at > now() - $1::interval, false), aggregate
		FROM cluster ORDER BY id`, activeFor)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	view := &clusterView{}
	var c clusterState
	_, err = pgx.ForEachRow(rows, []any{&c.id, &c.name, &c.location, &c.active, &c.aggregate}, func() error {
		one := c
		one.reserved = map[string]wire.Slot{}
		view.clusters = append(view.clusters, &one)
		c.aggregate = wire.Aggregate{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	rows, err = tx.Query(ctx, `SELECT cluster_id, ARRAY(SELECT jsonb_array_elements_text(coalesce(spec->'arch', '[]'))) AS arch,
		sum((spec->>'vcpus')::float8), sum((spec->>'memory_mb')::bigint)::bigint, sum((spec->>'storage_mb')::bigint)::bigint,
		sum(coalesce((spec->>'vgpus')::int, 0))::int
		FROM instance WHERE state = $1 AND cluster_id IS NOT NULL AND deleted_at IS NULL GROUP BY 1, 2`, wire.StateClusterScheduled)
	if err != nil {
		return nil, fmt.Errorf("sum up reservations: %w", err)
	}
	var id string
	var arch []string
	var s wire.Slot
	_, err = pgx.ForEachRow(rows, []any{&id, &arch, &s.VCPUs, &s.MemoryMB, &s.StorageMB, &s.GPUs}, func() error {
		view.reserve(id, arch, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum up reservations: %w", err)
	}
	return view, nil
}

func (v *clusterView) reserve(clusterID string, arch []string, need wire.Slot) {
	if len(arch) == 0 {
		arch = []string{""}
	}
	for _, c := range v.clusters {
		if c.id != clusterID {
			continue
		}
		for _, a := range arch {
			c.reserved[a] = scheduler.Add(c.reserved[a], need)
		}
	}
}

// candidates returns one candidate for each group of each cluster that the demand admits, and beside it whose it is. A
// cluster without a group is a candidate too, so that the explanation names it.
func (v *clusterView) candidates(req scheduler.Request, d demand, sameService map[string]int) ([]scheduler.Candidate, []*clusterState) {
	var out []scheduler.Candidate
	var index []*clusterState
	for _, c := range v.clusters {
		base := scheduler.Candidate{ID: c.id, Name: c.name, SameService: sameService[c.id], Unavailable: d.refuses(c)}
		groups := c.aggregate.Groups
		if len(groups) == 0 {
			if base.Unavailable == "" {
				base.Unavailable = "has no worker"
			}
			// Nothing else about it is unsuitable, so that the reason above is the one that is told.
			base.Runtimes = []string{req.Runtime}
			if len(req.Architectures) > 0 {
				base.Arch = req.Architectures[0]
			}
			out, index = append(out, base), append(index, c)
			continue
		}
		for _, g := range groups {
			one := base
			one.Arch, one.Runtimes, one.Capacity = g.Architecture, []string{g.Runtime}, g.Capacity
			left := scheduler.Sub(g.Free, scheduler.Add(c.reserved[""], c.reserved[g.Architecture]))
			// What a single worker had free, unless by now the whole group has less.
			one.Free = least(g.Largest, left)
			out, index = append(out, one), append(index, c)
		}
	}
	return out, index
}

func least(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs: min(a.VCPUs, b.VCPUs), MemoryMB: min(a.MemoryMB, b.MemoryMB),
		StorageMB: min(a.StorageMB, b.StorageMB), GPUs: min(a.GPUs, b.GPUs),
	}
}

// named returns the clusters of the given names or ids.
func (v *clusterView) named(names []string) (out []*clusterState) {
	for _, c := range v.clusters {
		if slices.Contains(names, c.name) || slices.Contains(names, c.id) {
			out = append(out, c)
		}
	}
	return out
}
