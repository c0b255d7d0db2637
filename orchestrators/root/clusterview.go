// SPDX-License-Identifier: Apache-2.0

package root

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// activeFor is how long after its last report a cluster is taken for active: six reports of 5 s.
const activeFor = 30 * time.Second

// clusterState is a cluster as scheduling sees it.
type clusterState struct {
	id, name, location string
	active             bool
	lost               bool // its instances may be given to others
	aggregate          wire.Aggregate
}

// lost reports whether a cluster has been silent for longer than its grace time.
func (v *clusterView) lost(id string) bool {
	return slices.ContainsFunc(v.clusters, func(c *clusterState) bool { return c.id == id && c.lost })
}

// clusterView is all clusters, as of one transaction, in which everything is placed.
type clusterView struct {
	clusters []*clusterState
	// pool has one candidate for each group of each cluster. A cluster without a group is a candidate too, so that explanations name it.
	pool *scheduler.Pool
	// counted are the services whose instances the pool has counted, near what services have to be near to, revisions those that were raised
	// in this transaction.
	counted   map[string]bool
	near      map[string][]wire.Proximity
	revisions map[string]int64
	// roundTrips are what was measured between two clusters, read with the first proximity.
	roundTrips map[clusterPair]float64
	// unchanged are instances of which nothing new was found.
	unchanged []wire.InstanceKey
}

// loadClusters reads all clusters and what is reserved on them: an instance is in state CLUSTER_SCHEDULED exactly from when
// root gives it away until a report tells more, and that report's aggregate takes it into account.
func (r *Root) loadClusters(ctx context.Context, tx pgx.Tx) (*clusterView, error) {
	rows, err := tx.Query(ctx, `SELECT id, name, location, coalesce(reported_at > now() - $1::interval, false), id IN (`+lostClusters+`), aggregate
		FROM cluster ORDER BY id`, activeFor, r.lostBefore(time.Now()))
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var clusters []*clusterState
	var c clusterState
	_, err = pgx.ForEachRow(rows, []any{&c.id, &c.name, &c.location, &c.active, &c.lost, &c.aggregate}, func() error {
		one := c
		clusters = append(clusters, &one)
		c.aggregate = wire.Aggregate{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	view := newView(clusters)
	rows, err = tx.Query(ctx, `SELECT cluster_id, ARRAY(SELECT jsonb_array_elements_text(coalesce(spec->'arch', '[]'))) AS arch,
		sum((spec->>'vcpus')::float8), sum((spec->>'memory_mb')::bigint)::bigint, sum((spec->>'storage_mb')::bigint)::bigint,
		sum(coalesce((spec->>'vgpus')::int, 0))::int, sum(coalesce((spec->>'vtpus')::int, 0))::int,
		sum(coalesce((spec->>'bandwidth_in')::bigint, 0))::bigint, sum(coalesce((spec->>'bandwidth_out')::bigint, 0))::bigint
		FROM instance WHERE state = $1 AND cluster_id IS NOT NULL AND deleted_at IS NULL GROUP BY 1, 2`, wire.StateClusterScheduled)
	if err != nil {
		return nil, fmt.Errorf("sum up reservations: %w", err)
	}
	var id string
	var arch []string
	var s wire.Slot
	into := []any{&id, &arch, &s.VCPUs, &s.MemoryMB, &s.StorageMB, &s.GPUs, &s.TPUs, &s.BandwidthIn, &s.BandwidthOut}
	_, err = pgx.ForEachRow(rows, into, func() error {
		view.reserve(id, arch, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum up reservations: %w", err)
	}
	return view, nil
}

func newView(clusters []*clusterState) *clusterView {
	v := &clusterView{clusters: clusters, counted: map[string]bool{}, near: map[string][]wire.Proximity{}, revisions: map[string]int64{}}
	var candidates []scheduler.Candidate
	for _, c := range clusters {
		base := c.candidate()
		if len(c.aggregate.Groups) == 0 {
			base.Unavailable = cmp.Or(base.Unavailable, "has no worker that can take anything now")
			candidates = append(candidates, base)
			continue
		}
		for _, g := range c.aggregate.Groups {
			one := base
			one.ID = groupID(c.id, &g)
			one.Arch, one.Runtimes, one.Capacity, one.Free, one.Slots = g.Architecture, []string{g.Runtime}, g.Capacity, g.Free, g.Slots
			if len(one.Slots) == 0 {
				one.Slots = []wire.Slot{g.Largest}
			}
			candidates = append(candidates, one)
		}
	}
	v.pool = scheduler.NewPool(candidates)
	return v
}

func groupID(cluster string, g *wire.AggregateGroup) string {
	return cluster + "/" + g.Architecture + "/" + g.Runtime
}

// candidate is what the cluster is apart from what its groups have.
func (c *clusterState) candidate() scheduler.Candidate {
	one := scheduler.Candidate{ID: c.id, Name: c.name, Site: c.id, Addons: c.aggregate.Addons, VolumeDrivers: c.aggregate.VolumeDrivers,
		Where: c.where()}
	for _, g := range c.aggregate.Groups {
		one.Weight = max(one.Weight, g.Workers)
	}
	if !c.active {
		one.Unavailable = fmt.Sprintf("has not reported for %s", activeFor)
	}
	return one
}

// where is the place of the cluster's workers, as far as is known.
func (c *clusterState) where() wire.Point {
	p := c.aggregate.Where
	if p.Location == nil {
		if at, radius, ok := geo.Parse(c.location); ok {
			p.Location, p.RadiusKM = &at, radius
		}
	}
	p.Cluster = ""
	return p
}

// reserve takes amounts out of all groups of a cluster whose workers may have been given an instance of these architectures.
func (v *clusterView) reserve(clusterID string, arch []string, need wire.Slot) {
	for _, c := range v.clusters {
		if c.id != clusterID {
			continue
		}
		for _, g := range c.aggregate.Groups {
			if len(arch) == 0 || slices.Contains(arch, g.Architecture) {
				v.pool.Take(groupID(c.id, &g), need)
			}
		}
	}
}

// count has the pool know how many instances of a service each cluster has.
func (v *clusterView) count(ctx context.Context, tx pgx.Tx, serviceID string) error {
	if v.counted[serviceID] {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT cluster_id, count(*) FROM instance
		WHERE service_id = $1 AND cluster_id IS NOT NULL AND deleted_at IS NULL GROUP BY cluster_id`, serviceID)
	if err != nil {
		return fmt.Errorf("count instances by cluster: %w", err)
	}
	var id string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error { v.pool.Count(serviceID, id, n); return nil })
	if err != nil {
		return fmt.Errorf("count instances by cluster: %w", err)
	}
	v.counted[serviceID] = true
	return nil
}

// find returns the cluster of that id, or nil.
func (v *clusterView) find(id string) *clusterState {
	for _, c := range v.clusters {
		if c.id == id {
			return c
		}
	}
	return nil
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
