// SPDX-License-Identifier: Apache-2.0

package abroad

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// Channel is the Postgres channel on which it is told that what a cluster has to know of others has changed: with the cluster's id, or with
// none for all of them.
const Channel = "oakestra_overlay"

// ErrStale is returned by [Store] for a message that is older than one that is stored.
var ErrStale = errors.New("the message is older than one that root has")

// Stored says how a message was taken.
type Stored struct {
	// SendFull asks the cluster for everything.
	SendFull bool
	// Refused are what was left out and why, for a person; at most a few.
	Refused []string
}

// Store takes in what a cluster says of its overlay, under root's epoch. The cluster has to exist.
func Store(ctx context.Context, tx pgx.Tx, ranges wire.Ranges, epoch uint64, clusterID string, in *wire.ClusterOverlay) (Stored, error) {
	var out Stored
	var last wire.Stamp
	var fullIn uint64
	err := tx.QueryRow(ctx, `INSERT INTO overlay_link (cluster_id) VALUES ($1) ON CONFLICT (cluster_id) DO UPDATE SET cluster_id = $1
		RETURNING report_epoch, report, full_epoch`, clusterID).Scan(&last.Epoch, &last.Revision, &fullIn)
	if err != nil {
		return out, fmt.Errorf("read overlay of cluster %s: %w", clusterID, err)
	}
	if last.After(in.Stamp) {
		return out, fmt.Errorf("%w: %s, have %s", ErrStale, in.Stamp, last)
	}
	blocks, err := addresses.Blocks(ctx, tx, ranges, clusterID)
	if err != nil {
		return out, err
	}
	out.Refused = clean(in, subnetsOf(blocks))
	if in.Full {
		fullIn = epoch
		if err := clearAll(ctx, tx, clusterID); err != nil {
			return out, err
		}
	}
	if err := write(ctx, tx, clusterID, in); err != nil {
		return out, err
	}
	if _, err := tx.Exec(ctx, `UPDATE overlay_link SET report_epoch = $2, report = $3, full_epoch = $4 WHERE cluster_id = $1`,
		clusterID, int64(in.Epoch), int64(in.Revision), int64(fullIn)); err != nil {
		return out, fmt.Errorf("stamp overlay of cluster %s: %w", clusterID, err)
	}
	out.SendFull = fullIn != epoch || last.Epoch != in.Epoch && !in.Full
	return out, hint(ctx, tx, clusterID)
}

func subnetsOf(blocks []wire.SubnetBlock) map[netip.Prefix]bool {
	all := map[netip.Prefix]bool{}
	for _, b := range blocks {
		for _, list := range [][]netip.Prefix{b.V4, b.V6} {
			for _, p := range list {
				all[p] = true
			}
		}
	}
	return all
}

// clearAll forgets what a cluster has said, since everything follows.
func clearAll(ctx context.Context, tx pgx.Tx, clusterID string) error {
	for _, table := range []string{"overlay_want", "overlay_name", "overlay_offer", "overlay_worker"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE cluster_id = $1`, clusterID); err != nil {
			return fmt.Errorf("forget overlay of cluster %s: %w", clusterID, err)
		}
	}
	return nil
}

func write(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.ClusterOverlay) error {
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM overlay_worker WHERE cluster_id = $1 AND worker_id = ANY($2)`, clusterID, in.Gone.Workers)
	b.Queue(`DELETE FROM overlay_want WHERE cluster_id = $1 AND address = ANY($2)`, clusterID, in.Gone.Wants)
	b.Queue(`DELETE FROM overlay_offer WHERE cluster_id = $1 AND service_id = ANY($2)`, clusterID, in.Gone.Offers)
	for _, n := range in.Gone.Names {
		b.Queue(`DELETE FROM overlay_name WHERE cluster_id = $1 AND organization_id = $2 AND name = $3`, clusterID, n.Organization, n.Name)
	}
	for _, w := range in.Workers {
		b.Queue(`INSERT INTO overlay_worker (cluster_id, worker_id, peer) VALUES ($1, $2, $3)
			ON CONFLICT (cluster_id, worker_id) DO UPDATE SET peer = excluded.peer`, clusterID, w.WorkerID, w)
	}
	for _, w := range in.Wants {
		if w.Workers == nil {
			w.Workers = []string{}
		}
		b.Queue(`INSERT INTO overlay_want (cluster_id, address, workers) VALUES ($1, $2, $3)
			ON CONFLICT (cluster_id, address) DO UPDATE SET workers = excluded.workers`, clusterID, w.Address, w.Workers)
	}
	for _, k := range in.Names {
		n, err := semantic.ParseDNSName(k.Name)
		if err != nil {
			continue // clean has left it out
		}
		b.Queue(`INSERT INTO overlay_name (cluster_id, organization_id, name, service, service_ns, app, app_ns) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING`, clusterID, k.Organization, k.Name, n.Service, n.ServiceNS, n.App, n.AppNS)
	}
	for _, o := range in.Offers {
		b.Queue(`INSERT INTO overlay_offer (cluster_id, service_id, instances) VALUES ($1, $2, $3)
			ON CONFLICT (cluster_id, service_id) DO UPDATE SET instances = excluded.instances`, clusterID, o.ServiceID, o.Instances)
		for _, x := range o.Instances {
			b.Queue(`UPDATE instance SET routed = $4 WHERE service_id = $1 AND number = $2 AND cluster_id = $3 AND placement = $4 AND routed < $4`,
				o.ServiceID, x.Number, clusterID, int64(x.Generation.Placement))
		}
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store overlay of cluster %s: %w", clusterID, err)
	}
	return nil
}

// hint tells all clusters that have to do with this one: that call it, or that it calls; and itself, for what it asks.
func hint(ctx context.Context, tx pgx.Tx, clusterID string) error {
	_, err := tx.Exec(ctx, `SELECT pg_notify($2, id) FROM (
		SELECT $1 AS id
		UNION SELECT w.cluster_id FROM overlay_want w JOIN address a ON a.address = w.address AND a.released_at IS NULL
			WHERE EXISTS (SELECT FROM instance i WHERE i.service_id = a.service_id AND i.cluster_id = $1)
			OR EXISTS (SELECT FROM overlay_offer o WHERE o.service_id = a.service_id AND o.cluster_id = $1)
		UNION SELECT i.cluster_id FROM instance i WHERE i.cluster_id IS NOT NULL AND i.service_id IN
			(SELECT a.service_id FROM overlay_want w JOIN address a ON a.address = w.address AND a.released_at IS NULL WHERE w.cluster_id = $1)
		) concerned`, clusterID, Channel)
	if err != nil {
		return fmt.Errorf("hint at overlay of cluster %s: %w", clusterID, err)
	}
	return nil
}
