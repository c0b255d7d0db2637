// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// resolve finds where the things are that an instance has to be near to. What nobody knows has no points. It is looked up once a service and
// transaction.
func (r *Root) resolve(ctx context.Context, tx pgx.Tx, i *instanceRow, d *demand, view *clusterView) ([]wire.Proximity, error) {
	if len(d.near) == 0 {
		return nil, nil
	}
	if known, ok := view.near[i.ServiceID]; ok {
		return known, nil
	}
	if err := view.measure(ctx, tx); err != nil {
		return nil, err
	}
	out := make([]wire.Proximity, 0, len(d.near))
	for _, w := range d.near {
		p := w.Proximity
		switch {
		case w.service:
			if err := resolveService(ctx, tx, i, &p, view); err != nil {
				return nil, err
			}
		default:
			p.Points = r.area(p.Name, view)
		}
		out = append(out, p)
	}
	view.near[i.ServiceID] = out
	return out, nil
}

// area returns where a place is: lon;lat in degrees, a name that root was told (--area), or else the name or location of a cluster.
func (r *Root) area(name string, view *clusterView) []wire.Point {
	if lat, lon, ok := (&sla.Constraint{Location: name}).Coordinates(); ok {
		return []wire.Point{{Location: &wire.Location{Latitude: lat, Longitude: lon}}}
	}
	if p, ok := r.areas[strings.ToLower(name)]; ok {
		return []wire.Point{p}
	}
	var points []wire.Point
	for _, c := range view.clusters {
		if p := c.where(); (strings.EqualFold(c.name, name) || strings.EqualFold(c.location, name)) && (p.Location != nil || p.Coordinate != nil) {
			p.Cluster = c.id
			points = append(points, p)
		}
	}
	return points
}

// resolveService finds a service by its id, or by its name within the application, and the clusters that have instances of it. Those of other
// organisations are none.
func resolveService(ctx context.Context, tx pgx.Tx, i *instanceRow, p *wire.Proximity, view *clusterView) error {
	err := tx.QueryRow(ctx, `SELECT t.id, t.name FROM service own JOIN application oa ON oa.id = own.application_id, service t
		JOIN application ta ON ta.id = t.application_id
		WHERE own.id = $1 AND t.deleted_at IS NULL AND ta.organization_id = oa.organization_id
		AND (t.id = $2 OR ta.id = oa.id AND lower($2) IN (lower(t.name), lower(t.name || '.' || t.namespace)))
		ORDER BY t.id = $2 DESC, t.created_at LIMIT 1`, i.ServiceID, p.Name).Scan(&p.Service, &p.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up service %s to be near to: %w", p.Name, err)
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT cluster_id FROM instance WHERE service_id = $1 AND cluster_id IS NOT NULL AND deleted_at IS NULL`, p.Service)
	if err != nil {
		return fmt.Errorf("look up where service %s runs: %w", p.Name, err)
	}
	clusters, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look up where service %s runs: %w", p.Name, err)
	}
	for _, c := range view.clusters {
		for _, id := range clusters {
			if c.id == id {
				point := c.where()
				point.Cluster = id
				p.Points = append(p.Points, point)
			}
		}
	}
	return nil
}

// elsewhere returns what a cluster is told of proximities: its own instances of a service it knows better. How long the way to other clusters
// takes is root's to say.
func (v *clusterView) elsewhere(all []wire.Proximity, cluster string) []wire.Proximity {
	out := make([]wire.Proximity, 0, len(all))
	for _, p := range all {
		points := p.Points
		p.Points = nil
		for _, point := range points {
			if point.Cluster != cluster {
				point.RoundTripMS = v.roundTrips[clusterPair{cluster, point.Cluster}]
			}
			if p.Service == "" || point.Cluster != cluster {
				p.Points = append(p.Points, point)
			}
		}
		out = append(out, p)
	}
	return out
}
