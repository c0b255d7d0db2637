// SPDX-License-Identifier: Apache-2.0

package records

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func open(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), Migrations(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func in(t *testing.T, pool *pgxpool.Pool, f func(pgx.Tx) error) {
	t.Helper()
	require.NoError(t, store.InTx(t.Context(), pool, f))
}

func load(t *testing.T, pool *pgxpool.Pool) (s Stored) {
	t.Helper()
	in(t, pool, func(tx pgx.Tx) (err error) { s, err = Load(t.Context(), tx); return err })
	return s
}

func TestChangesComeBackAsTheyWere(t *testing.T) {
	pool := open(t)
	ctx := t.Context()
	key := wire.InstanceKey{ServiceID: "s", Number: 3}
	g := wire.Generation{Placement: 4_000_000_000, Move: 2}
	spec := wire.InstanceSpec{JobName: "a.b.c.d", VCPUs: 1, InstanceIP: netip.MustParseAddr("10.30.0.9"), Cmd: []string{"x"}}
	since := time.Now().UTC().Truncate(time.Microsecond)
	one := ledger.Copy{InstanceKey: key, Generation: g, Worker: "w", Spec: spec,
		Report: wire.InstanceReport{InstanceKey: key, Generation: g, State: wire.StateNodeScheduled, Detail: "d", Since: since}}
	instance := ledger.Instance{InstanceKey: key, Placement: g.Placement, Spec: spec, Wanted: true, LastMove: 2,
		Refusals: map[string]ledger.Refusal{"w9": {Why: "has no such device", Until: since.Add(time.Hour)}}}
	ch := ledger.Changes{
		Instances: map[wire.InstanceKey]ledger.Instance{key: instance},
		Copies:    map[ledger.CopyID]ledger.Copy{{InstanceKey: key, Generation: g}: one},
		Removals:  map[wire.InstanceKey]ledger.Removal{key: {InstanceKey: key, Placement: 1}},
	}
	in(t, pool, func(tx pgx.Tx) error { return StoreChanges(ctx, tx, ch) })
	one.Report.State, one.Report.Detail = wire.StateRunning, ""
	endpoints := &wire.NetEndpoints{PublicKey: []byte{1}}
	in(t, pool, func(tx pgx.Tx) error {
		return StoreSeen(ctx, tx, []ledger.Copy{one}, []Overlay{{WorkerID: "w", Endpoints: endpoints}})
	})
	in(t, pool, func(tx pgx.Tx) error {
		return StoreSeen(ctx, tx, nil, []Overlay{{WorkerID: "w", Interest: &wire.NetInterest{}}})
	})
	s := load(t, pool)
	require.Equal(t, []ledger.Instance{instance}, s.Instances)
	s.Copies[0].Report.Since = s.Copies[0].Report.Since.UTC()
	require.Equal(t, []ledger.Copy{one}, s.Copies)
	require.Equal(t, []ledger.Removal{{InstanceKey: key, Placement: 1}}, s.Removals)
	require.Equal(t, endpoints.PublicKey, s.Overlays[0].Endpoints.PublicKey)
	require.NotNil(t, s.Overlays[0].Interest)

	in(t, pool, func(tx pgx.Tx) error {
		return StoreChanges(ctx, tx, ledger.Changes{
			DropInstances: map[wire.InstanceKey]struct{}{key: {}}, DropRemovals: map[wire.InstanceKey]struct{}{key: {}},
			DropCopies: map[ledger.CopyID]struct{}{{InstanceKey: key, Generation: g}: {}}})
	})
	s = load(t, pool)
	require.Empty(t, s.Instances)
	require.Empty(t, s.Copies)
	require.Empty(t, s.Removals)
}

// A copy that another worker turns out to run takes that worker's state with it; what its former worker said, and is stored late, does not count.
func TestACopyMovesWithItsState(t *testing.T) {
	pool := open(t)
	key, g := wire.InstanceKey{ServiceID: "s", Number: 3}, wire.Generation{Placement: 1, Move: 1}
	since, ready := time.Now().UTC().Truncate(time.Microsecond), true
	report := func(s wire.State, ready *bool) wire.InstanceReport {
		return wire.InstanceReport{InstanceKey: key, Generation: g, State: s, Since: since, Ready: ready}
	}
	decide := func(c ledger.Copy) {
		ch := ledger.Changes{Copies: map[ledger.CopyID]ledger.Copy{{InstanceKey: key, Generation: g}: c}}
		in(t, pool, func(tx pgx.Tx) error { return StoreChanges(t.Context(), tx, ch) })
	}
	see := func(c ledger.Copy) {
		in(t, pool, func(tx pgx.Tx) error { return StoreSeen(t.Context(), tx, []ledger.Copy{c}, nil) })
	}
	stored := func() ledger.Copy {
		c := load(t, pool).Copies[0]
		c.Report.Since = c.Report.Since.UTC()
		return c
	}
	former := ledger.Copy{InstanceKey: key, Generation: g, Worker: "a", Report: report(wire.StateNodeScheduled, nil)}
	decide(former)
	creating := former
	creating.Report = report(wire.StateCreating, nil)
	see(creating)
	former.Stop = true
	decide(former)
	creating.Stop = true
	require.Equal(t, creating, stored(), "a decision on the same worker knows no newer state")

	moved := ledger.Copy{InstanceKey: key, Generation: g, Worker: "b", Report: report(wire.StateRunning, &ready)}
	decide(moved)
	require.Equal(t, moved, stored())
	see(creating)
	require.Equal(t, moved, stored(), "the former worker's state came late")
}

func TestEpochFencesAnOlderProcess(t *testing.T) {
	pool := open(t)
	old, err := store.RaiseEpoch(t.Context(), pool)
	require.NoError(t, err)
	in(t, pool, func(tx pgx.Tx) error { return CheckEpoch(t.Context(), tx, old) })
	_, err = store.RaiseEpoch(t.Context(), pool)
	require.NoError(t, err)
	require.ErrorIs(t, store.InTx(t.Context(), pool, func(tx pgx.Tx) error { return CheckEpoch(t.Context(), tx, old) }), ErrTakenOver)
}

func block(id int64, subnets ...string) wire.SubnetBlock {
	b := wire.SubnetBlock{ID: id}
	for i, s := range subnets {
		b.V4 = append(b.V4, netip.MustParsePrefix(s))
		b.V6 = append(b.V6, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfc, 14: byte(id)*16 + byte(i)}), 120))
	}
	return b
}

func TestSubnetsAreLeasedInOrderAndRunOut(t *testing.T) {
	pool := open(t)
	ctx := t.Context()
	in(t, pool, func(tx pgx.Tx) error { _, err := EnsureLink(ctx, tx, "key"); return err })
	desired := &wire.ClusterDesired{Header: wire.NewHeader(wire.Stamp{Epoch: 5, Revision: 6}),
		Subnets: []wire.SubnetBlock{block(1, "10.18.0.64/26", "10.18.0.0/26")},
		Ranges:  wire.Ranges{WorkersV4: netip.MustParsePrefix("10.18.0.0/16")}}
	in(t, pool, func(tx pgx.Tx) error { return StoreDesired(ctx, tx, desired) })
	var link Link
	in(t, pool, func(tx pgx.Tx) (err error) { link, err = EnsureLink(ctx, tx, "other"); return err })
	require.Equal(t, Link{KeyPEM: "key", Applied: wire.Stamp{Epoch: 5, Revision: 6}, Ranges: desired.Ranges}, link)

	for i, want := range []string{"10.18.0.0/26", "10.18.0.64/26"} {
		in(t, pool, func(tx pgx.Tx) error {
			w, err := AddWorker(ctx, tx, string(rune('a'+i)), "name", []byte{byte(i)})
			if err == nil {
				require.Equal(t, want, w.Subnets[0].String())
			}
			return err
		})
	}
	require.ErrorIs(t, store.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := AddWorker(ctx, tx, "c", "name", []byte{9})
		return err
	}), ErrNoSubnet)

	// A block that root has taken back stays with its workers; a new one can be leased out.
	desired.Subnets = []wire.SubnetBlock{block(2, "10.18.4.0/26")}
	in(t, pool, func(tx pgx.Tx) error { return StoreDesired(ctx, tx, desired) })
	workers, err := Workers(ctx, pool)
	require.NoError(t, err)
	require.Len(t, workers, 2, "the refused one left nothing behind")
	require.Equal(t, "10.18.0.0/26", workers[0].Subnets[0].String())
	free, err := FreeSubnets(ctx, pool)
	require.NoError(t, err)
	require.Equal(t, 1, free)
	in(t, pool, func(tx pgx.Tx) error {
		id, ok, err := WorkerByKey(ctx, tx, []byte{1})
		require.True(t, ok)
		require.Equal(t, "b", id)
		return err
	})
}
