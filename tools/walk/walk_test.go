// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

const (
	// welcome is in what the sample application's web server answers.
	welcome = "<h1>Welcome to nginx!</h1>"
	// firstAnswerWithin bounds the time from docker-compose up to the sample application's first answer, on a busy machine too.
	firstAnswerWithin = 2 * time.Minute
)

// TestWalk walks the three deployments of the first page, one after the other, as a reader would who begins small.
func TestWalk(t *testing.T) {
	needDocker(t)
	start := time.Now()
	host, err := blocks.Shell{Within: 5 * time.Minute}.Open()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, host.Close()) })
	_, err = host.Type(t.Context(), "README.md", "release")
	require.NoError(t, err)
	w := newWorld(t, "pc1")
	w.took("programs built", start)
	w.boot("pc1", true)
	w.bases("pc1")
	pc1 := w.terminal("pc1", map[string]string{"ADDRESS OF THIS DEVICE": w.address("pc1"), "ADDRESS OF THE CLUSTER ORCHESTRATOR": w.address("pc1")})
	start = time.Now()
	w.typed(pc1.Type(t.Context(), "README.md", "images"))
	w.took("images built", start)
	ok := t.Run("one device", func(t *testing.T) { w.within(t, func() { w.oneDevice(pc1) }) }) &&
		t.Run("down and up", func(t *testing.T) { w.within(t, func() { w.downAndUp(pc1) }) }) &&
		t.Run("many devices", func(t *testing.T) { w.within(t, func() { w.manyDevices(pc1) }) })
	if !ok {
		return
	}
	t.Run("many clusters", func(t *testing.T) {
		w.typed(pc1.Type(t.Context(), "README.md", "save-images"))
		w.within(t, w.manyClusters)
	})
}

// oneDevice is "One device, one cluster".
func (w *world) oneDevice(pc1 *blocks.Terminal) {
	t, ctx := w.t, w.t.Context()
	start := time.Now()
	w.typed(pc1.Type(ctx, "README.md", "orchestrators"))
	w.took("docker-compose up", start)
	w.typed(pc1.Type(ctx, "README.md", "programs", "netcfg", "worker"))
	w.until("pc1", time.Minute, "NodeEngine status -o json | jq -e '.overlay and .connected'")
	w.took("worker joined", start)
	w.typed(pc1.Type(ctx, "README.md", "login"))
	out := w.typed(pc1.Type(ctx, "README.md", "deploy"))
	took := w.took("first answer of the sample application, since docker-compose up", start)
	require.GreaterOrEqual(t, strings.Count(out, welcome), 2, "by service address and by exposed port: %s", out)
	require.Less(t, took, firstAnswerWithin)
	w.publish(took)
	w.outsideAndExposed("pc1")

	// No port that a user does not need.
	published := w.on("pc1", time.Minute, `docker ps --format '{{.Ports}}' | tr -d ' ' | tr , '\n' | grep -o '0\.0\.0\.0:.*' | sort`)
	require.Equal(t, "0.0.0.0:10000->10000/tcp\n0.0.0.0:10003->10003/tcp\n0.0.0.0:10003->10003/udp\n0.0.0.0:10100->10100/tcp\n0.0.0.0:10100->10100/udp\n", published)
	require.Equal(t, "1\n", w.on("pc1", time.Minute, "grep -c password= /srv/oakestra/root.log"), "the password is printed once")
}

// downAndUp: nothing is lost, what runs goes on, and the worker comes back by itself.
func (w *world) downAndUp(pc1 *blocks.Terminal) {
	t, ctx := w.t, w.t.Context()
	w.until("pc1", time.Minute, "oak service list -o json | jq -e 'length == 2 and all(.[]; .instance_list | length == 1 and all(.status == \"RUNNING\"))'")
	const state = "oak service list -o json | jq -S '[.[] | {microserviceID, job_name, image, instance_list: [.instance_list[] | {instance_number, instance_ip, cluster_id, status}]}]'; " +
		"oak worker list -o json | jq -S '[.[] | {id, name, cluster_name}]'; oak application list -o json | jq -S '[.[] | {applicationID, application_name}]'"
	const containers = "ctr -n oakestra task ls | tail -n +2 | sort"
	before, running := w.on("pc1", time.Minute, state), w.on("pc1", time.Minute, containers)
	require.Contains(t, before, "nginx")
	require.Equal(t, 2, strings.Count(running, "RUNNING"), running)
	start := time.Now()
	w.typed(pc1.Type(ctx, "README.md", "compose-down"))
	require.Empty(t, w.on("pc1", time.Minute, "docker ps -aq"))
	require.Contains(t, w.fromOutside(ctx, "http://"+w.address("pc1")+":6080/"), welcome, "what runs goes on without its orchestrators")
	w.typed(pc1.Type(ctx, "README.md", "compose-up"))
	w.took("docker-compose down and up", start)
	// The worker says that it is connected; and what root tells is the same, by the login of before.
	w.until("pc1", time.Minute, "NodeEngine status -o json | jq -e '.overlay and .connected' && oak worker list -o json | jq -e 'all(.[]; .status == \"ready\")'")
	require.Equal(t, before, w.on("pc1", time.Minute, state))
	require.Equal(t, running, w.on("pc1", time.Minute, containers), "no workload was started again")
	logs := w.on("pc1", time.Minute, "docker logs compose_root_1 2>&1")
	require.NotContains(t, logs, "password=", "the password is printed once")
	require.Contains(t, w.fromOutside(ctx, "http://"+w.address("pc1")+":6080/"), welcome)
}

// manyDevices is "Many devices, one cluster".
func (w *world) manyDevices(pc1 *blocks.Terminal) {
	t, ctx := w.t, w.t.Context()
	w.add("pc2")
	w.boot("pc2", false)
	token := tokenIn(t, w.typed(pc1.Type(ctx, "README.md", "worker-token")))
	pc2 := w.terminal("pc2", map[string]string{"ADDRESS OF THIS DEVICE": w.address("pc2"), "ADDRESS OF THE CLUSTER ORCHESTRATOR": w.address("pc1"), "TOKEN": token})
	w.typed(pc2.Type(ctx, "README.md", "programs", "netcfg", "further-worker"))
	w.until("pc1", time.Minute, "oak worker list -o json | jq -e 'length == 2 and all(.[]; .status == \"ready\")'")
	w.typed(pc1.Type(ctx, "README.md", "scale"))
	w.answersFromBoth("pc1")
	w.outsideAndExposed("pc1")
	require.Contains(t, w.fromOutside(ctx, "http://"+w.address("pc2")+":6080/"), welcome, "the other worker's port")
}

// answersFromBoth: both of the web server's instances have answered the client by the service's address. They are on two workers, since a port
// of a worker is for one instance.
func (w *world) answersFromBoth(name string) {
	w.t.Helper()
	client := strings.TrimSpace(w.on(name, time.Minute, "oak service inspect curl | jq -r '.instance_list[0].instance_ip'"))
	for _, n := range []string{"0", "1"} {
		seen := w.until(name, 20*time.Second, "oak exec curl -- curl -s -o /dev/null http://10.30.30.30/; oak logs nginx."+n+" | grep -F '"+client+" - '")
		require.NotEmpty(w.t, seen)
	}
}
