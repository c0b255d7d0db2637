// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func resolved(epoch uint64, address string, r wire.Resolution) wire.NetResolved {
	return wire.NetResolved{
		Header:  wire.NewHeader(wire.Stamp{Epoch: epoch, Revision: 1}),
		Entries: []wire.ResolvedAddress{{Address: netip.MustParseAddr(address), Resolution: r}},
	}
}

func addresses(i wire.NetInterest) (out []string) {
	for _, a := range i.Addresses {
		out = append(out, a.Address.String())
	}
	return out
}

func TestAMissAsksAtOnceAndNotTooOften(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.Want(netip.MustParseAddr(rr))
	}
	require.Equal(t, 1, w.published)
	require.Equal(t, []string{rr}, addresses(w.Interest()))
	w.clock = w.clock.Add(askAgain)
	w.Want(netip.MustParseAddr(rr))
	require.Equal(t, 2, w.published, "an answer that was lost is asked for again")

	require.NoError(t, w.Apply(three(w, 1)))
	w.answers = nil
	w.Want(netip.MustParseAddr(close_))
	require.Equal(t, 2, w.published)
	require.Equal(t, []string{close_ + " true"}, w.answers)
}

func TestNobodyHasIt(t *testing.T) {
	w := newWorld(t)
	w.Want(netip.MustParseAddr(rr))
	require.NoError(t, w.Resolved(resolved(1, rr, wire.ResolvedNone)))
	require.Equal(t, []string{rr + " false"}, w.answers)
	w.holds("vip 10.30.1.1 policy 0 service 0 backend 0\n")
	w.Want(netip.MustParseAddr(rr))
	require.Equal(t, 1, w.published)

	// For five seconds, over a restart too.
	w.restart()
	w.Want(netip.MustParseAddr(rr))
	require.Equal(t, []string{rr + " false"}, w.answers)
	w.clock = w.clock.Add(refusedFor)
	require.NoError(t, w.Expire(time.Now().Add(refusedFor+time.Second)))
	w.holds("\n")
	w.Want(netip.MustParseAddr(rr))
	require.NotZero(t, w.published)

	// Routes overrule it.
	require.NoError(t, w.Resolved(resolved(1, rr, wire.ResolvedNone)))
	require.NoError(t, w.Apply(three(w, 1)))
	w.holds(threeInstances)
	require.NoError(t, w.Resolved(resolved(1, rr, wire.ResolvedNone)))
	require.NoError(t, w.Expire(w.clock.Add(refusedFor+time.Second)))
	w.holds(threeInstances)
}

func TestAnswersThatAreNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.Want(netip.MustParseAddr(rr))
	require.NoError(t, w.Resolved(resolved(2, rr, wire.ResolvedUnavailable)))
	w.holds("\n")
	require.Empty(t, w.answers)
	w.Want(netip.MustParseAddr(rr))
	require.Equal(t, 2, w.published, "unavailable was remembered")

	require.NoError(t, w.Resolved(resolved(1, rr, wire.ResolvedNone)), "of an older epoch")
	require.NoError(t, w.Resolved(resolved(2, close_, wire.ResolvedNone)), "never asked for")
	require.NoError(t, w.Resolved(resolved(2, rr, "perhaps")))
	w.holds("\n")
}

func TestInterestLapses(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	w.Want(netip.MustParseAddr(rr))
	w.Want(netip.MustParseAddr("10.30.9.9")) // never answered
	later := func(d time.Duration) time.Time { w.clock = w.clock.Add(d); return w.clock }

	require.NoError(t, w.Expire(later(wantedFor-time.Second)))
	require.Equal(t, []string{rr, "10.30.9.9"}, addresses(w.Interest()))
	w.inUse[bpf.AddrFrom(netip.MustParseAddr("10.30.0.3"))] = 1
	require.NoError(t, w.Expire(later(time.Second)))
	require.Equal(t, []string{rr}, addresses(w.Interest()))
	w.holds(threeInstances)

	clear(w.inUse)
	w.published = 0
	require.NoError(t, w.Expire(later(lookAgain)))
	require.Empty(t, w.Interest().Addresses)
	w.holds("\n")
	require.NotZero(t, w.published)
}

func TestWantedIsBounded(t *testing.T) {
	w := newWorld(t)
	first := netip.MustParseAddr("10.30.0.0")
	w.Want(first)
	a := first
	for range maxWanted {
		a = a.Next()
		w.clock = w.clock.Add(time.Microsecond)
		w.Want(a)
	}
	got := addresses(w.Interest())
	require.Len(t, got, maxWanted)
	require.NotContains(t, got, first.String())
	for _, odd := range []netip.Addr{{}, netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("ff02::1")} {
		w.Want(odd)
	}
	require.Len(t, addresses(w.Interest()), maxWanted)
}

func TestRestoreTellsWhatItCannotTake(t *testing.T) {
	w := newWorld(t)
	bad := routesOf(1)
	bad.ServiceID = "nonsense"
	err := w.Restore(Snapshot{Routes: []wire.NetRoutes{bad, three(w, 1)}, Wanted: []netip.Addr{{}, netip.MustParseAddr(rr)}})
	require.ErrorContains(t, err, "nonsense")
	w.holds(threeInstances)
	require.Equal(t, []string{rr}, addresses(w.Interest()))
}
