// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Link is who the cluster is at its root.
type Link struct {
	KeyPEM string
	// ClusterID, CertPEM and CAPEM are empty until the cluster has joined.
	ClusterID, CertPEM, CAPEM string
	// Applied is the stamp of the last desired state that was stored.
	Applied wire.Stamp
	// Ranges are the zero value until root has told them.
	Ranges wire.Ranges
}

// Joined reports whether root has taken the cluster in.
func (l *Link) Joined() bool { return l.ClusterID != "" }

// EnsureLink returns the link, with freshKey as its key if there was none.
func EnsureLink(ctx context.Context, tx pgx.Tx, freshKey string) (Link, error) {
	var l Link
	if _, err := tx.Exec(ctx, `INSERT INTO root_link (key_pem) VALUES ($1) ON CONFLICT DO NOTHING`, freshKey); err != nil {
		return l, fmt.Errorf("store key: %w", err)
	}
	var id, cert, ca *string
	var ranges *wire.Ranges
	var epoch, revision int64
	err := tx.QueryRow(ctx, `SELECT key_pem, cluster_id, cert_pem, ca_pem, applied_epoch, applied_revision, ranges FROM root_link`).
		Scan(&l.KeyPEM, &id, &cert, &ca, &epoch, &revision, &ranges)
	if err != nil {
		return l, fmt.Errorf("read link to root: %w", err)
	}
	if id != nil && cert != nil && ca != nil {
		l.ClusterID, l.CertPEM, l.CAPEM = *id, *cert, *ca
	}
	if ranges != nil {
		l.Ranges = *ranges
	}
	l.Applied = wire.Stamp{Epoch: uint64(epoch), Revision: uint64(revision)}
	return l, nil
}

// StoreIdentity stores what root has issued. What was applied under another identity counts no more.
func StoreIdentity(ctx context.Context, tx pgx.Tx, id, certPEM, caPEM string) error {
	_, err := tx.Exec(ctx, `UPDATE root_link SET cluster_id = $1, cert_pem = $2, ca_pem = $3,
		applied_epoch = CASE WHEN cluster_id = $1 THEN applied_epoch ELSE 0 END,
		applied_revision = CASE WHEN cluster_id = $1 THEN applied_revision ELSE 0 END`, id, certPEM, caPEM)
	if err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	return nil
}

// StoreDesired stores the stamp, the ranges and the leased subnets of a desired state of root's. A free subnet whose block root
// leases no more is forgotten; an empty list of blocks, which root has while it is set up, changes nothing.
func StoreDesired(ctx context.Context, tx pgx.Tx, d *wire.ClusterDesired) error {
	_, err := tx.Exec(ctx, `UPDATE root_link SET applied_epoch = $1, applied_revision = $2, ranges = $3`,
		int64(d.Epoch), int64(d.Revision), d.Ranges)
	if err != nil {
		return fmt.Errorf("store stamp and ranges: %w", err)
	}
	if len(d.Subnets) == 0 {
		return nil
	}
	var v4, v6 []netip.Prefix
	var blocks []int64
	for _, b := range d.Subnets {
		for i := range min(len(b.V4), len(b.V6)) {
			v4, v6, blocks = append(v4, b.V4[i]), append(v6, b.V6[i]), append(blocks, b.ID)
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO subnet (v4, v6, block_id) SELECT * FROM unnest($1::cidr[], $2::cidr[], $3::bigint[])
		ON CONFLICT (v4) DO UPDATE SET block_id = excluded.block_id`, v4, v6, blocks)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM subnet WHERE worker_id IS NULL AND NOT (v4 = ANY ($1::cidr[]))`, v4)
	}
	if err != nil {
		return fmt.Errorf("store leased subnets: %w", err)
	}
	return nil
}
