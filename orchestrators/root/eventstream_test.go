// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// Many write events at once, in transactions that take their time and some of which fail; a reader who breaks off and comes back all the time
// is told each event that has committed, once, in the order of the ids.
func TestReconnectsMissNoEvent(t *testing.T) {
	const writers, each = 6, 40
	s, _, path := deployed(t)
	service := strings.Split(path, "/")[4]
	api, err := client.New(client.Options{URL: s.plain, Token: s.admin})
	require.NoError(t, err)
	t.Cleanup(api.Close)
	begin := int64(s.count(`SELECT max(id) FROM instance_event`))

	var mu sync.Mutex
	want := map[string]bool{}
	var group sync.WaitGroup
	for w := range writers {
		_, err := s.pool.Exec(t.Context(), `INSERT INTO instance (service_id, number, spec, state, held) SELECT service_id, $2, spec, 'REQUESTED', true FROM instance
			WHERE service_id = $1 AND number = 0`, service, 100+w)
		require.NoError(t, err)
		group.Go(func() {
			for n := range each {
				fails := n%5 == 4
				detail := fmt.Sprintf("w%d-%d", w, n)
				err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
					for _, part := range []string{"a", "b"} {
						// The id is there, and others go on, well before the end of the transaction.
						if _, err := tx.Exec(t.Context(), `UPDATE instance SET detail = $3 WHERE service_id = $1 AND number = $2`, service, 100+w, detail+part); err != nil {
							return err
						}
						time.Sleep(rand.N(2 * time.Millisecond))
					}
					if fails {
						return errors.New("not to be")
					}
					return nil
				})
				if err != nil && !fails {
					t.Errorf("write %s: %v", detail, err)
				}
				if !fails {
					mu.Lock()
					want[detail+"a"], want[detail+"b"] = true, true
					mu.Unlock()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()

	seen := map[string]int{}
	last := begin
	complete := func() bool {
		select {
		case <-done:
		default:
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for detail := range want {
			if seen[detail] == 0 {
				return false
			}
		}
		return true
	}
	stop := errors.New("enough")
	for deadline := time.Now().Add(60 * time.Second); !complete() && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(150*time.Millisecond)+10*time.Millisecond)
		few := 1 + rand.N(20)
		_ = api.FollowEvents(ctx, client.EventFilter{Service: client.ID(service), Number: client.AllInstances, Since: last}, func(e client.StreamedEvent) error {
			if e.ID <= last {
				t.Errorf("event %d after %d", e.ID, last)
			}
			last = e.ID
			seen[e.Detail]++
			if few--; few == 0 {
				return stop
			}
			return nil
		}, nil)
		cancel()
	}
	group.Wait()
	require.Len(t, want, writers*each/5*4*2)
	for detail := range want {
		require.Equal(t, 1, seen[detail], detail)
	}
	for detail, n := range seen {
		require.False(t, strings.HasPrefix(detail, "w") && !want[detail], "%s was never committed, told %d times", detail, n)
	}
}

// Who has seen ids of a database that was since restored to an older state is told what happens from then on.
func TestFollowersOutliveARestoredDatabase(t *testing.T) {
	s, _, path := deployed(t)
	service := strings.Split(path, "/")[4]
	api, err := client.New(client.Options{URL: s.plain, Token: s.admin})
	require.NoError(t, err)
	t.Cleanup(api.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil { // it is not known when following has begun
			_, _ = s.pool.Exec(ctx, `INSERT INTO instance_event (service_id, number, state, detail, deleting, placement, move) VALUES ($1, 0, 'RUNNING', 'now', false, 1, 1)`, service)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	stop := errors.New("enough")
	err = api.FollowEvents(ctx, client.EventFilter{Number: client.AllInstances, Since: 1 << 40}, func(e client.StreamedEvent) error {
		require.Equal(t, "now", e.Detail)
		return stop
	}, nil)
	require.ErrorIs(t, err, stop)
}
