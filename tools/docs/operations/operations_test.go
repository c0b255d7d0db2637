// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestDocuments types what the documents tell operators to type, on the hosts of one testbed, on which an application runs.
func TestDocuments(t *testing.T) {
	s := raise(t)
	deployed(t, s, "hello.json", 1, "client")
	v, err := s.Service(t.Context(), "server")
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, s.API.AddInstance(t.Context(), v.ID))
	}
	running(t, s, "server", 3)
	answers(t, s, caller(t, s), 3)
	d := newDevices(t, s)
	for _, one := range []struct {
		name string
		do   func(*testing.T, *scene.Scene, *devices)
	}{
		{"Look", look}, {"Tokens", tokens}, {"Upgrade", upgrade}, {"Restore", restore}, {"Drain", drain}, {"Move", move},
	} {
		t.Run(one.name, func(t *testing.T) { one.do(t, s, d) })
	}
}

// caller is the client's container. Who calls from there later needs no orchestrator.
func caller(t *testing.T, s *scene.Scene) scene.Container {
	t.Helper()
	c, err := s.Client(t.Context())
	require.NoError(t, err)
	return c
}

// answers waits until calls from a container to the service address are shared out among so many servers.
func answers(t *testing.T, s *scene.Scene, from scene.Container, servers int) {
	t.Helper()
	require.NoError(t, s.Settle(t.Context(), from, "10.30.30.30", servers))
}

// terminal opens a shell, and closes it with the test.
func terminal(t *testing.T, shell blocks.Shell) *blocks.Terminal {
	t.Helper()
	o, err := shell.Open()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func typed(t *testing.T) func(out string, err error) string {
	return func(out string, err error) string {
		t.Helper()
		require.NoError(t, err)
		return out
	}
}

// look: what only looks.
func look(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	root := terminal(t, d.on(t, "root", map[string]string{"SERVICE": "server"}))
	out := is(root.Type(t.Context(), "orchestrators/README.md", "health"))
	require.Contains(t, out, `oakestra_root_clusters{active="true"} 1`)
	out = is(root.Type(t.Context(), "orchestrators/README.md", "login", "explain", "events"))
	require.Contains(t, out, "c1-w1")
	require.Contains(t, out, "c1-w2")

	w := terminal(t, d.on(t, "c1-w1", map[string]string{"ADDRESS OF THE SERVICE": "10.30.30.30"}))
	out = is(w.Type(t.Context(), "nodeengine/README.md", "status"))
	require.Contains(t, out, "connected")
	out = is(w.Type(t.Context(), "dataplane/README.md", "look", "resolve"))
	require.Contains(t, out, "10.30.30.30")
}

// tokens: a token that was made is listed, one that was revoked is of no use.
func tokens(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	root := terminal(t, d.on(t, "root", nil))
	out := is(root.Type(t.Context(), "orchestrators/README.md", "login", "tokens"))
	all, err := s.API.Tokens(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, all)
	made := all[len(all)-1]
	require.Contains(t, out, made.ID)
	again := terminal(t, d.on(t, "root", map[string]string{"ID OF THE TOKEN": made.ID}))
	is(again.Type(t.Context(), "orchestrators/README.md", "login", "revoke"))
	left, err := s.API.Tokens(t.Context())
	require.NoError(t, err)
	require.Equal(t, all[:len(all)-1], left)
	cluster := terminal(t, d.on(t, "c1", nil))
	out = is(cluster.Type(t.Context(), "orchestrators/README.md", "token-worker"))
	require.Greater(t, len(strings.TrimSpace(out)), 20, "no token")
}

// upgrade: programs are restarted, and nothing of the workloads is.
func upgrade(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	before := tasks(t, s)
	is(terminal(t, d.on(t, "root", nil)).Type(t.Context(), "orchestrators/README.md", "upgrade-root"))
	is(terminal(t, d.on(t, "c1", nil)).Type(t.Context(), "orchestrators/README.md", "upgrade-cluster"))
	is(terminal(t, d.on(t, "c1-w1", nil)).Type(t.Context(), "nodeengine/README.md", "upgrade"))
	running(t, s, "server", 3)
	answers(t, s, caller(t, s), 3)
	require.Equal(t, before, tasks(t, s))
}

// restore: with both databases and the key gone, what was saved brings all of it back, while containers go on. A secret that was stored before is readable
// afterwards, and a new instance is deployed.
func restore(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	_, err := s.API.CreateSecret(t.Context(), client.SecretValue{Name: "word", Value: []byte("of old")})
	require.NoError(t, err)
	root, cluster := terminal(t, d.on(t, "root", nil)), terminal(t, d.on(t, "c1", nil))
	is(root.Type(t.Context(), "orchestrators/README.md", "rekey", "backup-root"))
	is(cluster.Type(t.Context(), "orchestrators/README.md", "backup-cluster"))
	before, from := tasks(t, s), caller(t, s)

	for program, database := range map[string]string{"root-orchestrator@root": "root", "cluster-orchestrator@c1": "c1"} {
		require.NoError(t, testbed.Kill(t.Context(), program))
		emptied(t, s, database)
	}
	require.NoError(t, os.Remove(secretsKey))
	answers(t, s, from, 3) // without any orchestrator

	is(root.Type(t.Context(), "orchestrators/README.md", "restore-root"))
	is(cluster.Type(t.Context(), "orchestrators/README.md", "restore-cluster"))
	running(t, s, "server", 3)
	answers(t, s, caller(t, s), 3)
	require.Equal(t, before, tasks(t, s))
	deployed(t, s, "sealed.json", 1, "sealed") // root opens the secret for it
	v, err := s.Service(t.Context(), "server")
	require.NoError(t, err)
	require.NoError(t, s.API.AddInstance(t.Context(), v.ID))
	running(t, s, "server", 4)
}

// emptied replaces a database by an empty one.
func emptied(t *testing.T, s *scene.Scene, name string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Testbed.DatabaseURL("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	for _, sql := range []string{"DROP DATABASE %s WITH (FORCE)", "CREATE DATABASE %s"} {
		_, err := conn.Exec(t.Context(), fmt.Sprintf(sql, pgx.Identifier{name}.Sanitize()))
		require.NoError(t, err)
	}
}

// drain: nothing runs on the drained worker, and all of it elsewhere; then it takes instances again.
func drain(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	user := terminal(t, d.on(t, "root", map[string]string{"WORKER": "c1-w1"}))
	is(user.Type(t.Context(), "orchestrators/README.md", "login"))
	out := is(user.Type(t.Context(), "nodeengine/README.md", "drain"))
	require.Contains(t, out, "new disk")
	left, err := s.Testbed.Containers(t.Context(), "c1-w1")
	require.NoError(t, err)
	require.Empty(t, left)
	running(t, s, "server", 4)
	answers(t, s, caller(t, s), 4)
	is(user.Type(t.Context(), "nodeengine/README.md", "uncordon"))
}

// move: the testbed's root stands for that of the original, whose paths it keeps. What is exported there is a descriptor that runs here, under the
// same service addresses.
func move(t *testing.T, s *scene.Scene, d *devices) {
	is := typed(t)
	deployed(t, s, "old.json", 1, "shopfront", "stock")
	old := map[string]string{}
	for _, name := range []string{"shopfront", "stock"} {
		v, err := s.Service(t.Context(), name)
		require.NoError(t, err)
		old[name] = v.RoundRobin
		require.NotEmpty(t, v.RoundRobin)
	}
	at := s.Testbed.Hosts(testbed.RoleRoot)[0].Address
	shell := d.on(t, "root", map[string]string{"ADDRESS OF THE OLD ROOT": at, "PASSWORD": s.Testbed.API().Password, "APPLICATION": "shop"})
	user := terminal(t, shell)
	is(user.Type(t.Context(), "control/README.md", "export"))
	raw, err := os.ReadFile(filepath.Join(shell.Dir, "shop.json"))
	require.NoError(t, err)
	for _, kept := range []string{`"8088:80/tcp"`, `"SHOP=corner"`, `"c1-w2"`, `"10.30.40.40"`} {
		require.Contains(t, string(raw), kept)
	}

	apps, err := s.API.Applications(t.Context())
	require.NoError(t, err)
	for _, a := range apps {
		require.NoError(t, s.API.DeleteApplication(t.Context(), a.ID))
	}
	is(user.Type(t.Context(), "orchestrators/README.md", "login"))
	out := is(user.Type(t.Context(), "control/README.md", "import"))
	require.Contains(t, out, "stock")
	for name, address := range old {
		running(t, s, name, 1)
		v, err := s.Service(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, address, v.RoundRobin, name)
	}
}
