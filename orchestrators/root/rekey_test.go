// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// The key of secrets is changed while root serves, several times and once broken off: every secret opens at every moment, what is stored
// meanwhile as well, and in the end nothing opens with a former key.
func TestKeyOfSecretsIsChangedWhileRootServes(t *testing.T) {
	const secrets = 450 // more than are sealed at a time
	file := filepath.Join(t.TempDir(), "key")
	first := vault.Generate()
	require.NoError(t, first.Save(file))
	loaded, err := vault.Load(file)
	require.NoError(t, err)
	s := startWith(t, pgtest.New(t), Config{Ranges: semantic.DefaultRanges(), Vault: loaded})
	c := s.joinWith("c1", 4)
	for n := range secrets {
		s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": fmt.Sprint("s", n), "value": fmt.Sprint("value ", n)})
	}
	service := s.register(s.admin, "app", map[string]any{"replicas": 1, "secrets": []any{map[string]any{"name": "s7", "env": "A"}}})
	c.until(fine, "it runs", func() bool { return s.rollout(service).Available == 1 })
	organization := c.desired(wire.Stamp{}, 0).Changed[0].Spec.Organization

	var stop atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for !stop.Load() {
			if status, value := c.fetch(organization, "s7", 1); status != 200 || value != "value 7" {
				t.Errorf("fetching a secret: %d %q", status, value)
				return
			}
		}
	})
	stored := 0
	group.Go(func() {
		for !stop.Load() {
			status, body := s.call(s.admin, http.MethodPost, "/api/v1/secrets", map[string]any{"name": fmt.Sprint("late", stored), "value": fmt.Sprint("value ", stored)})
			if status != 200 {
				t.Errorf("storing a secret: %d %v", status, body)
				return
			}
			stored++
		}
	})
	change := func(ctx context.Context, settle func() error) (*vault.Vault, error) {
		next := vault.Generate()
		n, err := Rekey(ctx, s.pool, func() (*vault.Vault, string, error) {
			former, err := vault.Load(file)
			if err != nil {
				return nil, "", err
			}
			both, err := next.Before(former)
			if err == nil {
				err = both.Save(file)
			}
			return both, next.ID(), err
		}, settle)
		if err == nil {
			require.GreaterOrEqual(t, n, secrets)
		}
		return next, err
	}
	_, err = change(t.Context(), nil)
	require.NoError(t, err)
	// Broken off: the new key is in the file, and nothing is sealed with it.
	broken, cancel := context.WithCancel(t.Context())
	lost, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lost.Exec(t.Context(), `SELECT FROM secret_version WHERE version = 1 ORDER BY secret_id DESC LIMIT 1 FOR UPDATE`) // the last batch waits for this
	require.NoError(t, err)
	go func() {
		for s.count(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE secret_version%'`) == 0 && t.Context().Err() == nil {
		}
		cancel()
	}()
	unused, err := change(broken, nil)
	require.Error(t, err)
	require.NoError(t, lost.Rollback(t.Context()))
	require.Zero(t, s.count(`SELECT count(*) FROM secret_key WHERE id = $1`, unused.ID()))
	// Nobody else comes between.
	last, err := change(t.Context(), func() error {
		_, err := change(t.Context(), nil)
		require.ErrorIs(t, err, ErrRekeying)
		return nil
	})
	require.NoError(t, err)
	stop.Store(true)
	group.Wait()
	require.Positive(t, stored)

	require.Equal(t, 1, s.count(`SELECT count(*) FROM secret_key WHERE id = $1`, last.ID()))
	rows, err := s.pool.Query(t.Context(), `SELECT v.secret_id, v.version, v.sealed, s.name FROM secret_version v JOIN secret s ON s.id = v.secret_id`)
	require.NoError(t, err)
	defer rows.Close()
	opened := 0
	for rows.Next() {
		var v sealedVersion
		var name string
		require.NoError(t, rows.Scan(&v.Secret, &v.Version, &v.Sealed, &name))
		_, err := first.Open(v.Sealed, sealedAs(v.Secret, v.Version))
		require.ErrorIs(t, err, vault.ErrSealed, name)
		value, err := last.Open(v.Sealed, sealedAs(v.Secret, v.Version))
		require.NoError(t, err, name)
		require.Contains(t, string(value), "value ")
		opened++
	}
	require.NoError(t, rows.Err())
	require.Equal(t, secrets+stored, opened)
}
