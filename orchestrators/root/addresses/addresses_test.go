// SPDX-License-Identifier: Apache-2.0

package addresses_test

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func open(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), schema.Files(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// small has room for 14 IPv4 addresses, so that pools fill up within a test.
func small() wire.Ranges {
	r := semantic.DefaultRanges()
	r.ServicesV4 = netip.MustParsePrefix("10.30.0.0/28")
	return r
}

// TestPoolAgainstModel takes and releases at random and compares with a model: no address belongs to two, none is reused in
// its quarantine, the longest released one comes first, and exactly a full pool refuses.
func TestPoolAgainstModel(t *testing.T) {
	pool := open(t)
	r := small()
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		tx, err := pool.Begin(ctx)
		require.NoError(rt, err)
		defer func() { _ = tx.Rollback(ctx) }()
		taken := map[netip.Addr]int{} // → instance number
		var quarantine, free []netip.Addr
		fresh, serial := 14, 0
		used := map[netip.Addr]bool{}
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				n := serial
				serial++
				got, err := addresses.Take(ctx, tx, r, wire.PolicyInstance, false, addresses.Owner{ServiceID: "s", Number: &n})
				var full *addresses.FullError
				switch {
				case len(free) > 0:
					require.NoError(rt, err)
					require.Equal(rt, free[0], got, "the longest free one comes first")
					free = free[1:]
				case fresh > 0:
					require.NoError(rt, err)
					require.False(rt, used[got], "a fresh address was used before")
					fresh--
				default:
					require.ErrorAs(rt, err, &full)
					require.Equal(rt, "services-v4", full.Key)
					return
				}
				require.NotContains(rt, taken, got)
				require.NotContains(rt, quarantine, got)
				require.True(rt, r.ServicesV4.Contains(got))
				taken[got], used[got] = n, true
			},
			"takeNamed": func(rt *rapid.T) {
				want, _ := semantic.Host(r.ServicesV4, rapid.Uint32Range(0, 13).Draw(rt, "host"))
				n := serial
				serial++
				err := addresses.TakeNamed(ctx, tx, r, wire.ServiceAddress{Policy: wire.PolicyRoundRobin, Address: want},
					addresses.Owner{Organization: "other", ServiceID: "s", Number: &n})
				_, isTaken := taken[want]
				if isTaken || contains(quarantine, want) {
					require.ErrorAs(rt, err, new(*addresses.TakenError))
					return
				}
				require.NoError(rt, err)
				if !used[want] {
					fresh--
				}
				free = without(free, want)
				taken[want], used[want] = n, true
			},
			"release": func(rt *rapid.T) {
				if len(taken) == 0 {
					rt.Skip()
				}
				var all []netip.Addr
				for a := range taken {
					all = append(all, a)
				}
				a := rapid.SampledFrom(sorted(all)).Draw(rt, "address")
				require.NoError(rt, addresses.ReleaseInstance(ctx, tx, wire.InstanceKey{ServiceID: "s", Number: taken[a]}))
				// now() stands still within a transaction: order the releases by hand.
				_, err := tx.Exec(ctx, `UPDATE address SET released_at = now() + $2 * interval '1 us', organization_id = '' WHERE address = $1`, a, serial)
				serial++
				require.NoError(rt, err)
				delete(taken, a)
				quarantine = append(quarantine, a)
			},
			"tenMinutesPass": func(rt *rapid.T) {
				_, err := tx.Exec(ctx, `UPDATE address SET released_at = released_at - interval '11 minutes' WHERE released_at IS NOT NULL`)
				require.NoError(rt, err)
				free, quarantine = append(free, quarantine...), nil
			},
		})
	})
}

func contains(list []netip.Addr, a netip.Addr) bool { return slices.Contains(list, a) }

func without(list []netip.Addr, a netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(b netip.Addr) bool { return a == b })
}

func sorted(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

func TestTakeNamedRefuses(t *testing.T) {
	pool := open(t)
	r := small()
	for addr, policy := range map[string]wire.Policy{
		"10.30.0.0":    wire.PolicyRoundRobin, // names the range
		"10.30.0.15":   wire.PolicyRoundRobin, // its broadcast address
		"10.31.0.1":    wire.PolicyRoundRobin,
		"fdff:1000::1": wire.PolicyRoundRobin, // closest's
		"fdff:2000::1": wire.PolicyClosest,
	} {
		err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return addresses.TakeNamed(t.Context(), tx, r, wire.ServiceAddress{Policy: policy, Address: netip.MustParseAddr(addr)}, addresses.Owner{})
		})
		require.ErrorAs(t, err, new(*addresses.OutsideError), addr)
	}
}

func TestOrganisationTakesItsOwnAddressBack(t *testing.T) {
	pool := open(t)
	want := wire.ServiceAddress{Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr("10.30.30.30")}
	take := func(org, service string) error {
		return store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return addresses.TakeNamed(t.Context(), tx, semantic.DefaultRanges(), want, addresses.Owner{Organization: org, ServiceID: service})
		})
	}
	require.NoError(t, take("a", "s1"))
	require.ErrorAs(t, take("a", "s2"), new(*addresses.TakenError))
	require.NoError(t, store.InTx(t.Context(), pool, func(tx pgx.Tx) error { return addresses.ReleaseService(t.Context(), tx, "s1") }))
	require.ErrorAs(t, take("b", "s3"), new(*addresses.TakenError))
	require.NoError(t, take("a", "s4"))
}

func TestPolicyRangesV6(t *testing.T) {
	pool := open(t)
	for policy, want := range map[wire.Policy]string{
		wire.PolicyInstance: "fdff::1", wire.PolicyClosest: "fdff:1000::1",
		wire.PolicyRoundRobin: "fdff:2000::1", wire.PolicyUnderutilized: "fdff:3000::1",
	} {
		require.NoError(t, store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			got, err := addresses.Take(t.Context(), tx, semantic.DefaultRanges(), policy, true, addresses.Owner{})
			require.Equal(t, netip.MustParseAddr(want), got)
			return err
		}))
	}
}

func TestBlocksAreLeasedReusedAndBounded(t *testing.T) {
	pool := open(t)
	ctx := t.Context()
	r := semantic.DefaultRanges()
	r.WorkersV4 = netip.MustParsePrefix("10.18.0.0/21") // two blocks
	for _, id := range []string{"a", "b"} {
		_, err := pool.Exec(ctx, `INSERT INTO cluster (id, name, key_hash) VALUES ($1, $1, '')`, id)
		require.NoError(t, err)
	}
	leaseMany := func(cluster string, n int) error {
		return store.InTx(ctx, pool, func(tx pgx.Tx) error { return addresses.LeaseBlocks(ctx, tx, r, cluster, 1, n) })
	}
	lease := func(cluster string) error { return leaseMany(cluster, 1) }
	blocks := func(cluster string) (list []wire.SubnetBlock) {
		require.NoError(t, store.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
			list, err = addresses.Blocks(ctx, tx, r, cluster)
			return err
		}))
		return list
	}
	require.NoError(t, lease("a"))
	require.NoError(t, lease("b"))
	first, second := blocks("a"), blocks("b")
	require.Len(t, first, 1)
	require.Len(t, first[0].V4, 16)
	require.Equal(t, "10.18.0.0/26", first[0].V4[0].String())
	require.Equal(t, "fc00::/120", first[0].V6[0].String())
	require.Equal(t, "10.18.4.0/26", second[0].V4[0].String())
	var full *addresses.FullError
	require.ErrorAs(t, lease("a"), &full)
	require.Equal(t, addresses.KeyWorkersV4, full.Key)

	require.NoError(t, store.InTx(ctx, pool, func(tx pgx.Tx) error { return addresses.ReleaseBlocks(ctx, tx, "a") }))
	require.ErrorAs(t, lease("b"), &full, "in quarantine")
	_, err := pool.Exec(ctx, `UPDATE subnet_block SET released_at = released_at - interval '11 minutes'`)
	require.NoError(t, err)
	require.NoError(t, lease("b"))
	require.Len(t, blocks("b"), 2)
	require.Empty(t, blocks("a"))

	// Several at once: those that are free again, others, and as many as there are.
	require.NoError(t, store.InTx(ctx, pool, func(tx pgx.Tx) error { return addresses.ReleaseBlocks(ctx, tx, "b") }))
	_, err = pool.Exec(ctx, `UPDATE subnet_block SET released_at = released_at - interval '11 minutes'`)
	require.NoError(t, err)
	r.WorkersV4 = netip.MustParsePrefix("10.18.0.0/19") // eight blocks
	require.NoError(t, leaseMany("a", 5))
	require.Len(t, blocks("a"), 5)
	require.NoError(t, leaseMany("b", 5))
	require.Len(t, blocks("b"), 3)
	seen := map[netip.Prefix]bool{}
	for _, b := range append(blocks("a"), blocks("b")...) {
		require.False(t, seen[b.V4[0]], b.V4[0])
		seen[b.V4[0]] = true
	}
	require.ErrorAs(t, leaseMany("a", 2), &full)
}

func TestRangesOnlyGrow(t *testing.T) {
	pool := open(t)
	fix := func(change func(*wire.Ranges)) error {
		r := semantic.DefaultRanges()
		change(&r)
		return store.InTx(t.Context(), pool, func(tx pgx.Tx) error { return addresses.Fix(t.Context(), tx, r) })
	}
	require.NoError(t, fix(func(*wire.Ranges) {}))
	require.NoError(t, fix(func(*wire.Ranges) {}))
	require.NoError(t, fix(func(r *wire.Ranges) { r.WorkersV4 = netip.MustParsePrefix("10.18.0.0/15") }))
	require.ErrorContains(t, fix(func(*wire.Ranges) {}), "--workers-v4")
	grown := func(r *wire.Ranges) { r.WorkersV4 = netip.MustParsePrefix("10.18.0.0/15") }
	require.NoError(t, fix(grown))
	require.ErrorContains(t, fix(func(r *wire.Ranges) { grown(r); r.ServicesV4 = netip.MustParsePrefix("10.40.0.0/16") }), "--services-v4")
	require.ErrorContains(t, fix(func(r *wire.Ranges) { grown(r); r.ServicesV6 = netip.MustParsePrefix("fdfe::/15") }), "--services-v6")
}
