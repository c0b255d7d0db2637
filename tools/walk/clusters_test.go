// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

// manyClusters is "Many clusters": root, two clusters, and a worker of each, all on devices of their own.
func (w *world) manyClusters() {
	t, ctx := w.t, w.t.Context()
	images := w.sharedImages()
	for _, n := range []string{"worker1", "worker2"} {
		w.add(n)
		w.boot(n, false)
	}
	for _, n := range []string{"root", "cluster1", "cluster2"} {
		w.add(n)
		w.boot(n, true)
		for _, f := range images {
			target, err := w.devices[n].File("/srv/oakestra/" + filepath.Base(f))
			require.NoError(t, err)
			require.NoError(t, copyFile(f, target))
		}
	}
	var g errgroup.Group
	for _, n := range []string{"root", "cluster1", "cluster2"} {
		g.Go(func() error {
			_, err := w.devices[n].Run(ctx, "docker", "load", "-i", "/srv/oakestra/postgres.tar")
			return err
		})
	}
	require.NoError(t, g.Wait())
	start := time.Now()
	root := w.terminal("root", map[string]string{"ADDRESS OF THE ROOT ORCHESTRATOR": w.address("root"), "NAME OF THE CLUSTER": "c2"})
	w.typed(root.Type(ctx, "README.md", "load-images", "root"))
	w.took("root up", start)
	w.clusterByToken(root)
	w.clusterByCommand(root)
	w.took("two clusters with a worker each", start)
	w.on("root", time.Minute, "cd /srv/oakestra && tar -xzf dist/oakestra_$(dpkg --print-architecture).tar.gz --strip-components 1 --wildcards '*/oak' && install oak /usr/local/bin/")
	w.typed(root.Type(ctx, "README.md", "login-at-root"))
	w.until("root", time.Minute, "oak worker list -o json | jq -e 'length == 2 and all(.[]; .status == \"ready\")'")
	w.typed(root.Type(ctx, "README.md", "deploy-by-rest"))
	w.until("root", time.Minute, `oak service list -o json | jq -e 'length == 2 and all(.[]; .status == "RUNNING")'`)
	w.typed(root.Type(ctx, "README.md", "scale"))
	w.answersFromBoth("root")
	for i := range 2 {
		require.Contains(t, w.fromOutside(ctx, "http://"+w.address("worker"+strconv.Itoa(i+1))+":6080/"), welcome)
	}
}

// clusterByToken adds a cluster and its worker as the first page says.
func (w *world) clusterByToken(root *blocks.Terminal) {
	t, ctx := w.t, w.t.Context()
	cluster := w.terminal("cluster1", map[string]string{"ADDRESS OF THE ROOT ORCHESTRATOR": w.address("root"), "NAME OF THE CLUSTER": "c1",
		"TOKEN": tokenIn(t, w.typed(root.Type(ctx, "README.md", "cluster-token")))})
	w.typed(cluster.Type(ctx, "README.md", "load-images", "cluster"))
	w.clusterIsUp("cluster1")
	worker := w.terminal("worker1", map[string]string{"ADDRESS OF THIS DEVICE": w.address("worker1"), "ADDRESS OF THE CLUSTER ORCHESTRATOR": w.address("cluster1"),
		"TOKEN": tokenIn(t, w.typed(cluster.Type(ctx, "README.md", "worker-token-of-cluster")))})
	w.typed(worker.Type(ctx, "README.md", "programs", "netcfg", "further-worker"))
}

// clusterByCommand adds another one by pasting the lines that root and the cluster print.
func (w *world) clusterByCommand(root *blocks.Terminal) {
	ctx := w.t.Context()
	cluster := w.terminal("cluster2", map[string]string{"ADDRESS OF THE CLUSTER ORCHESTRATOR": w.address("cluster2")})
	w.typed(cluster.Type(ctx, "README.md", "load-images"))
	line := w.commandIn(w.typed(root.Type(ctx, "orchestrators/compose/README.md", "cluster-command")))
	w.on("cluster2", 3*time.Minute, sudo+"cd /srv/oakestra\n"+line)
	w.clusterIsUp("cluster2")
	line = w.commandIn(w.typed(cluster.Type(ctx, "orchestrators/compose/README.md", "worker-command")))
	worker := w.terminal("worker2", nil)
	w.typed(worker.Type(ctx, "README.md", "programs"))
	w.service("worker2", "bash", "-c", sudo+line)
}

// clusterIsUp waits for a cluster orchestrator that has joined.
func (w *world) clusterIsUp(name string) {
	w.t.Helper()
	w.until(name, time.Minute, "[ $(docker inspect -f '{{.State.Health.Status}}' compose_cluster_1) = healthy ]")
}

// sudo is what stands for that program where root pastes something and the machine has none.
const sudo = `command -v sudo >/dev/null || sudo() { [ "$1" != -E ] || shift; "$@"; }
`

// commandIn returns the line to paste that a command has printed.
func (w *world) commandIn(out string) string {
	w.t.Helper()
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "printf ") {
			return line
		}
	}
	w.t.Fatalf("no command to paste: %s", out)
	return ""
}

// sharedImages returns the files by which other devices get images: what the page has made on the first device, and Postgres, which a reader's
// devices would pull.
func (w *world) sharedImages() []string {
	w.t.Helper()
	w.on("pc1", time.Minute, "docker save -o /srv/oakestra/postgres.tar "+standsFor["postgres"])
	var files []string
	for _, n := range []string{"images.tar.gz", "postgres.tar"} {
		from, err := w.devices["pc1"].File("/srv/oakestra/" + n)
		require.NoError(w.t, err)
		to := filepath.Join(w.dir, n)
		require.NoError(w.t, copyFile(from, to))
		files = append(files, to)
	}
	for _, n := range []string{"pc2", "pc1"} {
		require.NoError(w.t, w.devices[n].End())
		delete(w.devices, n)
		require.NoError(w.t, os.RemoveAll(filepath.Join(w.dir, n, "data")))
	}
	return files
}

// tokens are what root and clusters print for those who are to join them.
var tokens = regexp.MustCompile(`\boak1\.[0-9a-zA-Z.]+`)

// tokenIn returns the token that a command has printed.
func tokenIn(t *testing.T, out string) string {
	t.Helper()
	token := tokens.FindString(out)
	require.NotEmpty(t, token, out)
	return token
}
