// SPDX-License-Identifier: Apache-2.0

package addresses_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// Taking many at once comes out as taking one after the other would: with addresses that were released, some still in their quarantine,
// with one that a user has taken by name, and with a pool that is too small.
func TestTakingManyIsTakingOneByOne(t *testing.T) {
	pool := open(t)
	r := small()
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		tx, err := pool.Begin(ctx)
		require.NoError(rt, err)
		defer func() { _ = tx.Rollback(ctx) }()
		before := rapid.IntRange(0, 10).Draw(rt, "taken before")
		for n := range before {
			_, err := addresses.Take(ctx, tx, r, wire.PolicyInstance, false, addresses.Owner{ServiceID: "s", Number: &n})
			require.NoError(rt, err)
		}
		for n := range before {
			if rapid.Bool().Draw(rt, "released") {
				require.NoError(rt, addresses.ReleaseInstance(ctx, tx, wire.InstanceKey{ServiceID: "s", Number: n}))
			}
			if rapid.Bool().Draw(rt, "long ago") {
				_, err := tx.Exec(ctx, `UPDATE address SET released_at = released_at - make_interval(mins => $2) WHERE number = $1`, n, 20+n%3)
				require.NoError(rt, err)
			}
		}
		if named := rapid.IntRange(1, 14).Draw(rt, "named"); rapid.Bool().Draw(rt, "takes it") {
			addr := netip.AddrFrom4([4]byte{10, 30, 0, byte(named)})
			_ = addresses.TakeNamed(ctx, tx, r, wire.ServiceAddress{Policy: wire.PolicyRoundRobin, Address: addr}, addresses.Owner{ServiceID: "other"})
		}
		var numbers []int
		for n := range rapid.IntRange(1, 8).Draw(rt, "wanted") {
			numbers = append(numbers, 100+n)
		}
		_, err = tx.Exec(ctx, `SAVEPOINT before`)
		require.NoError(rt, err)
		var want []netip.Addr
		var refused error
		for _, n := range numbers {
			addr, err := addresses.Take(ctx, tx, r, wire.PolicyInstance, false, addresses.Owner{ServiceID: "t", Number: &n})
			if refused = err; err != nil {
				break
			}
			want = append(want, addr)
		}
		_, err = tx.Exec(ctx, `ROLLBACK TO SAVEPOINT before`)
		require.NoError(rt, err)
		got, err := addresses.TakeMany(ctx, tx, r, wire.PolicyInstance, false, addresses.Owner{ServiceID: "t"}, numbers)
		if refused != nil {
			var full *addresses.FullError
			require.ErrorAs(rt, refused, &full)
			require.True(rt, errors.As(err, &full), err)
			return
		}
		require.NoError(rt, err)
		require.ElementsMatch(rt, want, got)
		var owned int
		require.NoError(rt, tx.QueryRow(ctx, `SELECT count(*) FROM address WHERE service_id = 't' AND released_at IS NULL`).Scan(&owned))
		require.Equal(rt, len(numbers), owned)
	})
}
