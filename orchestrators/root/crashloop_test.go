// SPDX-License-Identifier: Apache-2.0

package root

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// envCrashFor is for how long Postgres crashes again and again; make test-chaos asks for a minute.
const envCrashFor = "OAK_CRASH_FOR"

// crashWriter writes through the API and remembers what was acknowledged: which application is there, and which is gone. Of one whose write
// was not acknowledged nothing is known.
type crashWriter struct {
	s           *system
	there, gone map[string]bool
	status      map[int]int
}

// one creates an application and now and then deletes it again. It returns an error for an answer that says neither yes nor 5xx.
func (w *crashWriter) one(name string) error {
	status, body, err := request(http.DefaultClient, w.s.admin, http.MethodPost, w.s.plain+"/api/application/", descriptor(name, map[string]any{}))
	if err := w.note(status, body, err); err != nil || status != http.StatusOK {
		return err
	}
	w.there[name] = true
	if rand.IntN(3) > 0 {
		return nil
	}
	id := ""
	for _, a := range body.([]any) {
		if a := a.(map[string]any); a["application_name"] == name {
			id = a["applicationID"].(string)
		}
	}
	delete(w.there, name)
	status, body, err = request(http.DefaultClient, w.s.admin, http.MethodDelete, w.s.plain+"/api/application/"+id, nil)
	if err := w.note(status, body, err); err != nil || status != http.StatusOK {
		return err
	}
	w.gone[name] = true
	return nil
}

func (w *crashWriter) note(status int, body any, err error) error {
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	w.status[status]++
	if status != http.StatusOK && status < 500 {
		return fmt.Errorf("answer %d: %v", status, body)
	}
	if status >= 500 {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// TestPostgresCrashesAgainAndAgain ends Postgres at once, again and again, under writes: with its data on a disk, and durable by its own
// word. Each write that was acknowledged is there, and each other one was answered with a 5xx.
func TestPostgresCrashesAgainAndAgain(t *testing.T) {
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv(envCrashFor), "12s"))
	require.NoError(t, err, envCrashFor)
	const dir = "/var/tmp"
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &fs))
	require.NotEqual(t, int64(unix.TMPFS_MAGIC), fs.Type, "%s is no disk", dir)
	server, err := pgtest.Start(dir, pgtest.Options{Fsync: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	s := startOn(t, server.NewDatabase(t), semantic.DefaultRanges())
	durable := func() {
		for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			var value string
			require.Eventually(t, func() bool {
				return s.pool.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&value) == nil
			}, 15*time.Second, 20*time.Millisecond)
			require.Equal(t, "on", value, setting)
		}
	}
	durable()

	var stop atomic.Bool
	var wg sync.WaitGroup
	writers := make([]*crashWriter, 4)
	for i := range writers {
		w := &crashWriter{s: s, there: map[string]bool{}, gone: map[string]bool{}, status: map[int]int{}}
		writers[i] = w
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				if err := w.one(fmt.Sprintf("w%dn%d", i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	crashes := 0
	for end := time.Now().Add(lasts); time.Now().Before(end); crashes++ {
		time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond))
		require.NoError(t, server.Stop("immediate"))
		time.Sleep(rand.N(300 * time.Millisecond))
		require.NoError(t, server.Resume())
	}
	time.Sleep(500 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	durable()

	stored := map[string]bool{}
	rows, err := s.pool.Query(t.Context(), `SELECT name FROM application WHERE deleted_at IS NULL`)
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		stored[name] = true
	}
	require.NoError(t, rows.Err())
	acknowledged, refused := 0, 0
	for _, w := range writers {
		for name := range w.there {
			require.True(t, stored[name], "%s was acknowledged and is lost", name)
		}
		for name := range w.gone {
			require.False(t, stored[name], "the deletion of %s was acknowledged and is lost", name)
		}
		for status, n := range w.status {
			if status == http.StatusOK {
				acknowledged += n
			} else {
				refused += n
			}
		}
	}
	t.Logf("%d crashes in %s: %d writes acknowledged, all of them there; %d answered with a 5xx", crashes, lasts, acknowledged, refused)
	require.Positive(t, acknowledged)
	require.Positive(t, refused, "no crash hit a write")
	require.Greater(t, crashes, 3)
}
