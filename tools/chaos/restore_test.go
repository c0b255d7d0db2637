// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// programsOf are those that use a database.
var programsOf = map[string][]string{
	"root": {"root-orchestrator@root", "root-orchestrator@root2"}, "c1": {"cluster-orchestrator@c1", "cluster-orchestrator@c1s"},
}

// TestRestoredFromAnOldDump gives root, the cluster, and then both a database that is older than what was acknowledged since. What was
// deployed since is in no row then, and yet nothing stops: it is adopted from below, until databases, containers and maps agree again.
func TestRestoredFromAnOldDump(t *testing.T) {
	w := world(t, 1, 2)
	r := NewRun(w, 1, testLog{t})
	_, err := r.settled(t.Context(), time.Minute)
	require.NoError(t, err)
	for _, restored := range [][]string{{"c1"}, {"root"}, {"root", "c1"}} {
		dumps := map[string]string{}
		for _, db := range restored {
			dumps[db] = dump(t, w.Testbed, db)
		}
		changing := w.services["c1"][serviceChanging].ID
		require.NoError(t, w.Scene.API.AddInstance(t.Context(), changing))
		_, err := w.Scene.API.CreateApplication(t.Context(), []byte(fmt.Sprintf(`{"sla_version":"v2.0","customerID":"Admin","applications":[
			{"applicationID":"","application_name":"since%d","application_namespace":"test","microservices":[]}]}`, time.Now().UnixNano()%1e6)))
		require.NoError(t, err)
		before, err := r.settled(t.Context(), time.Minute)
		require.NoError(t, err, "before %v are restored", restored)

		for _, db := range restored {
			for _, program := range programsOf[db] {
				require.NoError(t, testbed.Kill(t.Context(), program))
			}
			restore(t, w.Testbed, db, dumps[db])
		}
		start := time.Now()
		for _, db := range restored {
			for _, program := range programsOf[db] {
				require.NoError(t, testbed.Restart(t.Context(), program))
			}
		}
		err = scene.Until(t.Context(), time.Minute, func(ctx context.Context) error {
			v, err := Judge(ctx, w.Testbed)
			if err != nil {
				return err
			}
			for id, pid := range before.Tasks {
				if v.Tasks[id] != pid {
					return fmt.Errorf("container %s was process %d and is %d", id, pid, v.Tasks[id])
				}
			}
			if len(v.Tasks) != len(before.Tasks) {
				return fmt.Errorf("containers were %v, are %v", before.Tasks, v.Tasks)
			}
			return errors.Join(v.Err(), w.Answers(ctx, v))
		})
		require.NoError(t, err, "after %v were restored", restored)
		t.Logf("with %v restored everything agrees after %s, and nothing was stopped", restored, time.Since(start).Round(time.Millisecond))
	}
}

// client returns a program of Postgres's.
func postgresClient(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	require.NotEmpty(t, found, "install the package postgresql")
	return slices.Max(found)
}

func dump(t *testing.T, tb *testbed.Testbed, db string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), db+".dump")
	out, err := exec.Command(postgresClient(t, "pg_dump"), "--format=custom", "--file="+file, tb.DatabaseURL(db)).CombinedOutput() //nolint:gosec // the distribution's
	require.NoError(t, err, string(out))
	return file
}

// restore replaces a database by what a dump holds.
func restore(t *testing.T, tb *testbed.Testbed, db, file string) {
	t.Helper()
	u, err := url.Parse(tb.DatabaseURL(db))
	require.NoError(t, err)
	u.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	for _, sql := range []string{"DROP DATABASE %s WITH (FORCE)", "CREATE DATABASE %s"} {
		_, err = conn.Exec(t.Context(), fmt.Sprintf(sql, pgx.Identifier{db}.Sanitize()))
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close(t.Context()))
	out, err := exec.Command(postgresClient(t, "pg_restore"), "--exit-on-error", "--dbname="+tb.DatabaseURL(db), file).CombinedOutput() //nolint:gosec // the distribution's
	require.NoError(t, err, strings.TrimSpace(string(out)))
}
