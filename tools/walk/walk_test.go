// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/walk/hub"
)

// TestOneDevice walks "One device, one cluster" of the first page.
func TestOneDevice(t *testing.T) {
	w := newWorld(t, "pc1")
	w.boot("pc1", true)
	w.bases("pc1")
	ctx := t.Context()
	var pc1 *blocks.Terminal = w.terminal("pc1", map[string]string{"ADDRESS OF THIS DEVICE": w.address("pc1"), "ADDRESS OF THE CLUSTER ORCHESTRATOR": w.address("pc1")})
	start := time.Now()
	w.typed(pc1.Type(ctx, "README.md", "images"))
	w.took("images built", start)

	start = time.Now()
	w.typed(pc1.Type(ctx, "README.md", "orchestrators"))
	w.took("docker-compose up", start)
	w.typed(pc1.Type(ctx, "README.md", "programs", "worker", "login"))
	out := w.typed(pc1.Type(ctx, "README.md", "deploy"))
	w.took("from docker-compose up to the first answer of the sample application", start)
	require.GreaterOrEqual(t, strings.Count(out, "<h1>Welcome to nginx!</h1>"), 2, "by service address, by exposed port, and in the client's log: %s", out)
	w.outsideAndExposed("pc1")
	w.typed(pc1.Type(ctx, "README.md", "deploy-curl"))
	w.until("pc1", time.Minute, "curl -sf --max-time 2 http://"+w.address("pc1")+":6080/")
}

// outsideAndExposed: a container reaches the outside, and the outside reaches an exposed port, while Docker forbids forwarding.
func (w *world) outsideAndExposed(name string) {
	w.t.Helper()
	require.Contains(w.t, w.on(name, time.Minute, "iptables -S FORWARD"), "-P FORWARD DROP", "Docker forbids forwarding")
	hello := w.on(name, time.Minute, "oak exec curl -- curl -s --max-time 10 http://"+hub.Website+"/")
	require.Equal(w.t, "hello "+w.address(name)+"\n", hello, "the outside sees the device")
	require.Contains(w.t, w.fromOutside(w.t.Context(), "http://"+w.address(name)+":6080/"), "Welcome to nginx!")
}

// fromOutside gets a page as somebody on the internet would.
func (w *world) fromOutside(ctx context.Context, url string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	body, err := w.hub.Get(ctx, url)
	require.NoError(w.t, err)
	return body
}
