// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// clusterJSON is a cluster as /api/v1/clusters shows it.
type clusterJSON struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Location string    `json:"location"`
	JoinedAt time.Time `json:"joined_at"`
	// Active says that the cluster has reported within the last 30 s.
	Active     bool           `json:"active"`
	LastReport *time.Time     `json:"last_report"`
	Revision   int64          `json:"revision"`
	Applied    int64          `json:"applied_revision"`
	Instances  int            `json:"instances"`
	Tombstones int            `json:"tombstones"`
	FreeSubnet int            `json:"free_subnets"`
	Blocks     int            `json:"subnet_blocks"`
	Aggregate  wire.Aggregate `json:"aggregate"`
}

func (r *Root) queryClusters(ctx context.Context, onlyActive bool) ([]clusterJSON, error) {
	rows, err := r.pool.Query(ctx, `SELECT id, name, location, joined_at, coalesce(reported_at > now() - $1::interval, false) AS active,
		reported_at, revision, applied,
		(SELECT count(*) FROM instance i WHERE i.cluster_id = c.id), (SELECT count(*) FROM tombstone t WHERE t.cluster_id = c.id),
		free_subnets, (SELECT count(*) FROM subnet_block b WHERE b.cluster_id = c.id), aggregate
		FROM cluster c WHERE NOT $2 OR reported_at > now() - $1::interval ORDER BY name`, activeFor, onlyActive)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[clusterJSON])
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	for i := range list {
		if list[i].Aggregate.Groups == nil {
			list[i].Aggregate.Groups = []wire.AggregateGroup{}
		}
	}
	return list, nil
}

func (r *Root) listClusters(c echo.Context) error {
	list, err := r.queryClusters(c.Request().Context(), false)
	if err != nil {
		return err
	}
	if list == nil {
		list = []clusterJSON{}
	}
	if list, err = httpapi.Select(c, list, func(k clusterJSON) string { return k.Name }); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

// listClustersLegacy shows clusters as existing clients know them.
func (r *Root) listClustersLegacy(c echo.Context) error {
	list, err := r.queryClusters(c.Request().Context(), strings.HasSuffix(c.Path(), "/active"))
	if err != nil {
		return err
	}
	if list, err = httpapi.Select(c, list, func(k clusterJSON) string { return k.Name }); err != nil {
		return err
	}
	out := make([]map[string]any, 0, len(list))
	for _, cl := range list {
		out = append(out, legacyCluster(&cl))
	}
	return c.JSON(http.StatusOK, out)
}

func legacyCluster(cl *clusterJSON) map[string]any {
	workers, total, free, runtimes, byArch := sumGroups(cl.Aggregate.Groups)
	var reported float64
	if cl.LastReport != nil {
		reported = float64(cl.LastReport.UnixMilli()) / 1000
	}
	return map[string]any{
		"_id": oid(cl.ID), "cluster_name": cl.Name, "candidate_name": cl.Name,
		"cluster_location": cl.Location, "candidate_location": cl.Location,
		"active": cl.Active, "active_nodes": workers, "last_modified_timestamp": reported,
		"aggregated_cpu_percent": cl.Aggregate.CPUPercent, "cpu_percent": cl.Aggregate.CPUPercent,
		"memory_percent": cl.Aggregate.MemoryPercent, "memory_in_mb": free.MemoryMB, "memory": free.MemoryMB,
		"total_cpu_cores": total.VCPUs, "vcpus": total.VCPUs, "total_gpu_cores": total.GPUs, "vgpus": total.GPUs,
		"virtualization": runtimes, "supported_addons": orEmpty(cl.Aggregate.Addons), "csi_drivers": orEmpty(cl.Aggregate.VolumeDrivers),
		"aggregation_per_architecture": byArch,
	}
}

// sumGroups adds up the workers of all architectures. A worker is in a group of each of its runtimes, so that of one
// architecture the largest group counts.
func sumGroups(groups []wire.AggregateGroup) (workers int, total, free wire.Slot, runtimes []string, byArch map[string]wire.AggregateGroup) {
	runtimes, byArch = []string{}, map[string]wire.AggregateGroup{}
	for _, g := range groups {
		if !slices.Contains(runtimes, g.Runtime) {
			runtimes = append(runtimes, g.Runtime)
		}
		if have, ok := byArch[g.Architecture]; !ok || g.Workers > have.Workers {
			byArch[g.Architecture] = g
		}
	}
	for _, g := range byArch {
		workers += g.Workers
		total, free = scheduler.Add(total, g.Capacity), scheduler.Add(free, g.Free)
	}
	return workers, total, free, runtimes, byArch
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
