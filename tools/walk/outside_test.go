// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/walk/hub"
)

// outsideAndExposed: a container reaches the outside, and the outside reaches an exposed port, while Docker forbids forwarding.
func (w *world) outsideAndExposed(name string) {
	w.t.Helper()
	require.Contains(w.t, w.on(name, time.Minute, "iptables -S FORWARD"), "-P FORWARD DROP", "Docker forbids forwarding")
	hello := w.on(name, time.Minute, "oak exec curl -- curl -s --max-time 10 http://"+hub.Website+"/")
	require.Contains(w.t, w.helloes(), hello, "the outside sees the device")
	require.Contains(w.t, w.fromOutside(w.t.Context(), "http://"+w.address(name)+":6080/"), welcome)
}

// helloes are what the outside says to devices.
func (w *world) helloes() []string {
	var all []string
	for _, h := range w.hosts {
		all = append(all, "hello "+h.Address.String()+"\n")
	}
	return all
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

// seconds is the place in the page that says how long the first answer took.
var seconds = regexp.MustCompile(`(?s)(<!-- seconds: [^\n]* -->\n).*?(<!-- end of seconds -->)`)

// publish writes into the page how long the first answer took, if it is asked to.
func (w *world) publish(took time.Duration) {
	w.t.Helper()
	root, err := blocks.Root()
	require.NoError(w.t, err)
	page := filepath.Join(root, "README.md")
	body, err := os.ReadFile(page)
	require.NoError(w.t, err)
	require.Regexp(w.t, seconds, string(body))
	if os.Getenv("OAK_WALK_PUBLISH") == "" {
		return
	}
	text := fmt.Sprintf("${1}From `docker-compose up` to the first answer of the sample application it took %.0f s, on %d processors (%s).\n${2}", took.Seconds(), runtime.NumCPU(), runtime.GOARCH)
	require.NoError(w.t, os.WriteFile(page, seconds.ReplaceAll(body, []byte(text)), 0o644))
}
