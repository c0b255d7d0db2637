// SPDX-License-Identifier: Apache-2.0

package addresses

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TakeMany is [Take] for many instances of one owner, which has no number, in a few statements however many they are. The addresses are
// those that taking one after the other would give; they are returned in the order of the numbers that they are for.
func TakeMany(ctx context.Context, tx pgx.Tx, r wire.Ranges, policy wire.Policy, v6 bool, owner Owner, numbers []int) ([]netip.Addr, error) {
	p := poolOf(r, policy, v6)
	next, err := lockPool(ctx, tx, p.name)
	if err != nil {
		return nil, err
	}
	given := make(map[int]netip.Addr, len(numbers))
	rows, err := tx.Query(ctx, `WITH free AS (SELECT address, row_number() OVER (ORDER BY released_at, address) AS n FROM address
			WHERE pool = $1 AND released_at <= now() - $2::interval ORDER BY released_at, address LIMIT $3)
		UPDATE address a SET organization_id = $4, service_id = $5, number = ($6::int[])[free.n], policy = $7, released_at = NULL
		FROM free WHERE a.address = free.address RETURNING a.address, a.number`,
		p.name, Quarantine, len(numbers), owner.Organization, owner.ServiceID, numbers, policy)
	if err == nil {
		err = collect(rows, given)
	}
	if err != nil {
		return nil, fmt.Errorf("reuse addresses of pool %s: %w", p.name, err)
	}
	before := next
	for len(given) < len(numbers) {
		var fresh []netip.Addr
		var lacking []int
		for _, n := range numbers {
			if _, ok := given[n]; ok {
				continue
			}
			addr, ok := semantic.Host(p.prefix, uint32(next)) //nolint:gosec // a pool is smaller
			if !ok {
				break
			}
			next++
			fresh, lacking = append(fresh, addr), append(lacking, n)
		}
		if len(fresh) == 0 {
			return nil, &FullError{Pool: p.name, Key: p.key, Range: p.prefix}
		}
		// One that a user has taken by name is passed over.
		rows, err := tx.Query(ctx, `INSERT INTO address (address, pool, organization_id, service_id, number, policy)
			SELECT c.address, $3, $4, $5, c.number, $6 FROM unnest($1::inet[], $2::int[]) AS c (address, number)
			ON CONFLICT (address) DO NOTHING RETURNING address, number`, fresh, lacking, p.name, owner.Organization, owner.ServiceID, policy)
		if err == nil {
			err = collect(rows, given)
		}
		if err != nil {
			return nil, fmt.Errorf("take addresses of pool %s: %w", p.name, err)
		}
	}
	if next != before {
		if _, err := tx.Exec(ctx, `UPDATE pool SET next = $2 WHERE name = $1`, p.name, next); err != nil {
			return nil, fmt.Errorf("advance pool %s: %w", p.name, err)
		}
	}
	out := make([]netip.Addr, len(numbers))
	for i, n := range numbers {
		out[i] = given[n]
	}
	return out, nil
}

func collect(rows pgx.Rows, given map[int]netip.Addr) error {
	var addr netip.Addr
	var number int
	_, err := pgx.ForEachRow(rows, []any{&addr, &number}, func() error { given[number] = addr; return nil })
	return err
}
