// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// bench is a table with a clock of its own, and what it has told.
type bench struct {
	*table
	mu                 sync.Mutex
	clock              time.Time
	published, changes int
}

func newBench() *bench {
	b := &bench{clock: time.Unix(1_000_000, 0)}
	count := func(n *int) func() {
		return func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			*n++
		}
	}
	b.table = newTable(slog.New(slog.DiscardHandler), count(&b.published), count(&b.changes))
	b.now = func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.clock
	}
	return b
}

func (b *bench) pass(d time.Duration) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(d)
	return b.clock
}

func (b *bench) counts() (published, changes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published, b.changes
}

func key(name string) wire.NameKey { return wire.NameKey{Organization: "acme", Name: name} }

func stamped(epoch, revision uint64, names ...wire.ResolvedName) wire.NetResolved {
	return wire.NetResolved{Header: wire.NewHeader(wire.Stamp{Epoch: epoch, Revision: revision}), Names: names}
}

func somebody(name, address string) wire.ResolvedName {
	return wire.ResolvedName{NameKey: key(name), Resolution: wire.ResolvedService, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
}

func nobody(name string) wire.ResolvedName {
	return wire.ResolvedName{NameKey: key(name), Resolution: wire.ResolvedNone}
}

func always() bool { return true }
func never() bool  { return false }

// at looks a name up without waiting.
func (b *bench) at(name string) verdict {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return b.lookup(ctx, key(name), always)
}

// waiting looks a name up and returns once the lookup waits.
func (b *bench) waiting(t *testing.T, name string) chan verdict {
	t.Helper()
	n := b.waiters(name)
	out := make(chan verdict, 1)
	go func() { out <- b.lookup(context.Background(), key(name), always) }()
	for b.waiters(name) == n {
		time.Sleep(time.Millisecond)
	}
	return out
}

func (b *bench) waiters(name string) int {
	b.table.mu.Lock()
	defer b.table.mu.Unlock()
	if e := b.names[key(name)]; e != nil {
		return len(e.waiting)
	}
	return 0
}

func TestFirstLookupsWaitForTheAnswer(t *testing.T) {
	b := newBench()
	one, two := b.waiting(t, "n"), b.waiting(t, "n")
	require.Equal(t, []wire.InterestName{{NameKey: key("n")}}, b.interest())
	require.NoError(t, b.resolved(stamped(1, 5, somebody("n", "10.30.0.1"), somebody("unasked", "10.30.0.2"))))
	for _, c := range []chan verdict{one, two} {
		require.Equal(t, verdict{answer: somebody("n", "10.30.0.1")}, <-c)
	}
	require.Equal(t, verdict{answer: somebody("n", "10.30.0.1")}, b.at("n"), "it is remembered")
	require.Equal(t, []wire.InterestName{{NameKey: key("n"), Held: wire.Stamp{Epoch: 1, Revision: 5}}}, b.interest())
	published, changes := b.counts()
	require.Equal(t, 1, published, "the cluster is asked once")
	require.Equal(t, 1, changes)

	require.NoError(t, b.resolved(stamped(1, 4, somebody("n", "10.30.0.9"))), "late")
	require.NoError(t, b.resolved(stamped(0, 9, somebody("n", "10.30.0.9"))), "of an overruled cluster")
	require.Equal(t, somebody("n", "10.30.0.1"), b.at("n").answer)
	require.NoError(t, b.resolved(stamped(2, 1, somebody("n", "10.30.0.7"))))
	require.Equal(t, somebody("n", "10.30.0.7"), b.at("n").answer)
	newer := stamped(3, 1)
	newer.Format = wire.Format + 1
	require.ErrorIs(t, b.resolved(newer), wire.ErrNewerFormat)
}

func TestNobodysNamesAreRememberedFor5s(t *testing.T) {
	b := newBench()
	c := b.waiting(t, "n")
	require.NoError(t, b.resolved(stamped(1, 1, nobody("n"))))
	require.Equal(t, verdict{err: errNone, left: 5 * time.Second}, <-c)
	b.pass(4 * time.Second)
	require.Equal(t, verdict{err: errNone, left: time.Second}, b.at("n"))
	require.Equal(t, wire.Stamp{Epoch: 1, Revision: 1}, b.interest()[0].Held)

	// It comes into being meanwhile, and is gone again.
	require.NoError(t, b.resolved(stamped(1, 2, somebody("n", "10.30.0.1"))))
	require.NoError(t, b.at("n").err)
	require.NoError(t, b.resolved(stamped(1, 3, nobody("n"))))
	require.ErrorIs(t, b.at("n").err, errNone)
	_, changes := b.counts()
	require.Equal(t, 2, changes)

	b.pass(5 * time.Second)
	c = b.waiting(t, "n")
	require.True(t, b.interest()[0].Held.IsZero(), "it is asked for anew, or the cluster would say nothing")
	require.NoError(t, b.resolved(stamped(1, 4, nobody("n"))))
	require.ErrorIs(t, (<-c).err, errNone)
	b.expire(b.pass(5 * time.Second))
	require.Empty(t, b.interest())
}

func TestWhatCannotBeToldIsNeverRemembered(t *testing.T) {
	b := newBench()
	c := b.waiting(t, "n")
	away := wire.ResolvedName{NameKey: key("n"), Resolution: wire.ResolvedUnavailable}
	require.NoError(t, b.resolved(stamped(1, 1, away)))
	require.ErrorIs(t, (<-c).err, errUnavailable)
	require.ErrorIs(t, b.at("n").err, errUnavailable)
	require.NoError(t, b.resolved(stamped(1, 2, somebody("n", "10.30.0.1"))))
	require.NoError(t, b.resolved(stamped(1, 3, away)))
	require.NoError(t, b.at("n").err, "what is known goes on")
	odd := wire.ResolvedName{NameKey: key("n"), Resolution: "odd"}
	require.NoError(t, b.resolved(stamped(1, 4, odd)))
	require.NoError(t, b.at("n").err)
}

func TestLookupsGiveUp(t *testing.T) {
	b := newBench()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.lookup(ctx, key("n"), always).err, errUnavailable)
	require.Zero(t, b.waiters("n"))
	b.expire(b.pass(unansweredFor - time.Second))
	require.Len(t, b.interest(), 1)
	b.expire(b.pass(time.Second))
	require.Empty(t, b.interest(), "nobody waits for it any more")
}

func TestNamesLapse(t *testing.T) {
	b := newBench()
	b.restore(Snapshot{Names: []Remembered{{ResolvedName: somebody("n", "10.30.0.1"), Stamp: wire.Stamp{Epoch: 1, Revision: 1}}}})
	b.expire(b.pass(9 * time.Minute))
	require.NoError(t, b.at("n").err)
	b.expire(b.pass(9 * time.Minute))
	require.Len(t, b.interest(), 1)
	b.expire(b.pass(time.Minute))
	require.Empty(t, b.interest())
	require.Empty(t, b.snapshot().Names)
	published, changes := b.counts()
	require.Equal(t, []int{1, 1}, []int{published, changes})
}

func TestGuessesDriveOutGuesses(t *testing.T) {
	b := newBench()
	require.ErrorIs(t, b.lookup(t.Context(), key("n"), never).err, errTooMany)
	require.Empty(t, b.interest(), "who guesses too much leaves no trace")
	b.restore(Snapshot{Names: []Remembered{{ResolvedName: somebody("good", "10.30.0.1")}}})
	first := b.waiting(t, "guess")
	for i := range maxNames {
		b.pass(time.Microsecond)
		require.ErrorIs(t, b.at(fmt.Sprint("guess", i)).err, errUnavailable)
	}
	require.ErrorIs(t, (<-first).err, errUnavailable, "who waits for what was forgotten waits no more")
	require.Len(t, b.interest(), maxNames)
	require.NoError(t, b.lookup(t.Context(), key("good"), never).err)
}

func TestSnapshotComesBack(t *testing.T) {
	b := newBench()
	c, d := b.waiting(t, "n"), b.waiting(t, "none")
	require.NoError(t, b.resolved(stamped(1, 1, somebody("n", "10.30.0.1"), nobody("none"))))
	<-c
	<-d
	data, err := json.Marshal(b.snapshot())
	require.NoError(t, err)
	var s Snapshot
	require.NoError(t, json.Unmarshal(data, &s))
	later := newBench()
	later.restore(s)
	require.Equal(t, verdict{answer: somebody("n", "10.30.0.1")}, later.at("n"))
	require.Equal(t, b.snapshot(), later.snapshot())
	require.Len(t, later.interest(), 1)
}

// Whatever is looked up and answered in whatever order, each name stands for what the newest answer says, as long as that is remembered.
func TestNewestAnswerWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		newest := map[string]wire.NetResolved{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				b.at(name)
			case 1:
				answer := nobody(name)
				if rapid.Bool().Draw(t, "known") {
					answer = somebody(name, fmt.Sprintf("10.30.0.%d", rapid.IntRange(1, 9).Draw(t, "address")))
				}
				m := stamped(rapid.Uint64Range(1, 2).Draw(t, "epoch"), rapid.Uint64Range(1, 9).Draw(t, "revision"), answer)
				wanted, high := b.names[key(name)] != nil, b.epoch
				require.NoError(t, b.resolved(m))
				if have, ok := newest[name]; wanted && m.Epoch >= high && (!ok || m.After(have.Stamp)) {
					newest[name] = m
				}
			case 2:
				b.pass(time.Second)
			}
			for name, m := range newest {
				v := b.at(name)
				if m.Names[0].Resolution == wire.ResolvedService {
					require.Equal(t, m.Names[0], v.answer)
				} else if !errors.Is(v.err, errNone) {
					require.ErrorIs(t, v.err, errUnavailable)
					delete(newest, name) // forgotten: whatever comes next is the newest
				}
			}
		}
	})
}
