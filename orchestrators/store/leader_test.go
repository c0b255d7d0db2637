// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// candidate is a process that wants to be active.
type candidate struct {
	leads, standby chan struct{}
	ended          chan error
	leave          context.CancelFunc
}

// run has a candidate wait, lead and keep the lead until it leaves. One that hangs leads and then does nothing until it leaves, like a stopped
// process; then it goes on.
func run(t *testing.T, url string, hangs bool) *candidate {
	t.Helper()
	pool, err := store.Open(t.Context(), url, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := &candidate{leads: make(chan struct{}), standby: make(chan struct{}), ended: make(chan error, 1), leave: cancel}
	go func() {
		l, err := store.Lead(ctx, pool, slog.New(slog.DiscardHandler), func() { close(c.standby) })
		if err != nil {
			c.ended <- err
			return
		}
		close(c.leads)
		keep := ctx
		if hangs {
			<-ctx.Done()
			keep = t.Context()
		}
		c.ended <- l.Keep(keep)
	}()
	return c
}

// limit is by when another process has to be active, by far on a busy machine.
const limit = 30 * time.Second

func within(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	begin := time.Now()
	select {
	case <-ch:
		t.Logf("%s after %s", what, time.Since(begin).Round(time.Millisecond))
	case <-time.After(limit):
		t.Fatalf("%s: not within %s", what, limit)
	}
}

func TestOneLeadsAndTheNextTakesOver(t *testing.T) {
	url := pgtest.New(t)
	first := run(t, url, false)
	within(t, "the first leads", first.leads)
	second := run(t, url, false)
	within(t, "the second waits", second.standby)
	time.Sleep(5 * time.Second) // longer than a leader may be silent
	select {
	case <-second.leads:
		t.Fatal("two lead")
	default:
	}
	first.leave()
	within(t, "the second leads", second.leads)
	require.NoError(t, <-first.ended)
}

func TestSilentLeaderIsDeposed(t *testing.T) {
	url := pgtest.New(t)
	first := run(t, url, true)
	within(t, "the first leads", first.leads)
	second := run(t, url, false)
	within(t, "the second leads although the first hangs", second.leads)
	first.leave() // it goes on
	require.ErrorIs(t, <-first.ended, store.ErrDeposed)
}

func TestLeaderOutlivesPostgres(t *testing.T) {
	server, err := pgtest.Start("", pgtest.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	url := server.NewDatabase(t)
	first := run(t, url, false)
	within(t, "the first leads", first.leads)
	second := run(t, url, false)
	within(t, "the second waits", second.standby)
	require.NoError(t, server.Stop("immediate"))
	require.NoError(t, server.Resume())
	time.Sleep(5 * time.Second)
	select {
	case <-second.leads: // the former leader has had its chance, and on a busy machine may miss it: then it has to know
		require.ErrorIs(t, <-first.ended, store.ErrDeposed)
	case err := <-first.ended:
		t.Fatalf("the leader has gone: %v", err)
	default:
	}
	first.leave()
	within(t, "somebody leads", second.leads)
}
