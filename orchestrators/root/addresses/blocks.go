// SPDX-License-Identifier: Apache-2.0

package addresses

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const blockPool = "worker-subnets"

// LeaseBlocks leases n blocks of worker subnets to a cluster: those that have been free longest after their quarantine, and
// else the lowest that were never used; fewer if the pool has no more. The revision is that of the cluster's desired state which first
// names them. It fails with a [FullError] if there is none.
func LeaseBlocks(ctx context.Context, tx pgx.Tx, r wire.Ranges, clusterID string, revision int64, n int) error {
	next, err := lockPool(ctx, tx, blockPool)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `UPDATE subnet_block SET cluster_id = $1, revision = $3, leased_at = now(), released_at = NULL, former = NULL
		WHERE id IN (SELECT id FROM subnet_block WHERE released_at <= now() - $2::interval ORDER BY released_at, index LIMIT $4)`,
		clusterID, Quarantine, revision, n)
	if err != nil {
		return fmt.Errorf("reuse blocks of worker subnets: %w", err)
	}
	had := int(tag.RowsAffected())
	var full error
	fresh := 0
	for ; had+fresh < n; fresh++ {
		if _, full = blockSubnets(r, next+int64(fresh)); full != nil {
			break
		}
	}
	if had+fresh == 0 {
		return full
	}
	if fresh == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `INSERT INTO subnet_block (index, cluster_id, revision) SELECT i, $1, $2 FROM generate_series($3::bigint, $4::bigint) AS i`,
		clusterID, revision, next, next+int64(fresh)-1); err != nil {
		return fmt.Errorf("lease blocks of worker subnets: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE pool SET next = $2 WHERE name = $1`, blockPool, next+int64(fresh)); err != nil {
		return fmt.Errorf("advance pool %s: %w", blockPool, err)
	}
	return nil
}

// RestoreBlocks leases to a cluster the blocks that it had under the same key before it was deleted, as far as nobody else has them by now,
// and returns how many: its workers still use them. The revision is as for [LeaseBlocks].
func RestoreBlocks(ctx context.Context, tx pgx.Tx, clusterID, keyHash string, revision int64) (int, error) {
	if _, err := lockPool(ctx, tx, blockPool); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `UPDATE subnet_block SET cluster_id = $1, revision = $3, leased_at = now(), released_at = NULL, former = NULL
		WHERE former = $2 AND cluster_id IS NULL`, clusterID, keyHash, revision)
	if err != nil {
		return 0, fmt.Errorf("restore worker subnets to cluster %s: %w", clusterID, err)
	}
	return int(tag.RowsAffected()), nil
}

// ReleaseBlocks puts all blocks of a cluster into quarantine. Whose they were is remembered until they are leased again.
func ReleaseBlocks(ctx context.Context, tx pgx.Tx, clusterID string) error {
	_, err := tx.Exec(ctx, `UPDATE subnet_block b SET cluster_id = NULL, released_at = now(), former = c.key_hash
		FROM cluster c WHERE c.id = b.cluster_id AND b.cluster_id = $1`, clusterID)
	if err != nil {
		return fmt.Errorf("release worker subnets of cluster %s: %w", clusterID, err)
	}
	return nil
}

// Blocks returns the blocks leased to a cluster, oldest first.
func Blocks(ctx context.Context, tx pgx.Tx, r wire.Ranges, clusterID string) ([]wire.SubnetBlock, error) {
	rows, err := tx.Query(ctx, `SELECT id, index FROM subnet_block WHERE cluster_id = $1 ORDER BY leased_at, id`, clusterID)
	if err != nil {
		return nil, fmt.Errorf("list worker subnets: %w", err)
	}
	type leased struct{ ID, Index int64 }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[leased])
	if err != nil {
		return nil, fmt.Errorf("list worker subnets: %w", err)
	}
	blocks := make([]wire.SubnetBlock, 0, len(list))
	for _, l := range list {
		b, err := blockSubnets(r, l.Index)
		if err != nil {
			return nil, err
		}
		b.ID = l.ID
		blocks = append(blocks, b)
	}
	return blocks, nil
}

var errIndex = errors.New("index of block is out of range")

// blockSubnets returns the subnets of the block with the given index.
func blockSubnets(r wire.Ranges, index int64) (wire.SubnetBlock, error) {
	if index < 0 || index > 1<<24 {
		return wire.SubnetBlock{}, errIndex
	}
	b := wire.SubnetBlock{V4: make([]netip.Prefix, 0, semantic.BlockSubnets), V6: make([]netip.Prefix, 0, semantic.BlockSubnets)}
	for i := range semantic.BlockSubnets {
		n := uint32(index)*semantic.BlockSubnets + uint32(i)
		v4, ok := semantic.Subnet(r.WorkersV4, semantic.WorkerBitsV4, n)
		if !ok {
			return wire.SubnetBlock{}, &FullError{Pool: blockPool, Key: KeyWorkersV4, Range: r.WorkersV4}
		}
		v6, ok := semantic.Subnet(r.WorkersV6, semantic.WorkerBitsV6, n)
		if !ok {
			return wire.SubnetBlock{}, &FullError{Pool: blockPool, Key: KeyWorkersV6, Range: r.WorkersV6}
		}
		b.V4, b.V6 = append(b.V4, v4), append(b.V6, v6)
	}
	return b, nil
}
