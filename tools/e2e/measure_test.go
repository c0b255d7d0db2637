// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// tiers are the programs that streams go through.
var tiers = []string{"root-orchestrator", "cluster-orchestrator", "NodeEngine"}

// pids returns the process ids of the tiers' programs.
func (c *streamer) pids(t *testing.T) map[string]int {
	t.Helper()
	st, err := c.s.Testbed.Status()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, h := range st.Hosts {
		for _, part := range h.Components {
			for _, name := range tiers {
				if part.Name == name {
					found[name] = part.PID
				}
			}
		}
	}
	if len(found) != len(tiers) {
		t.Fatalf("the testbed's status shows %v", found)
	}
	return found
}

// memory returns how much memory each of the tiers' programs has, in KiB.
func (c *streamer) memory(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for name, pid := range c.pids(t) {
		file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
				var n int
				_, _ = fmt.Sscan(text, &n)
				out[name] = n
			}
		}
		_ = file.Close()
	}
	return out
}

// files returns how many files each of them has open.
func (c *streamer) files(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for name, pid := range c.pids(t) {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = len(list)
	}
	return out
}

// requests counts the requests for streams that root's database holds.
func (c *streamer) requests(ctx context.Context) (n int, err error) {
	conn, err := pgx.Connect(ctx, c.s.Testbed.DatabaseURL("root"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, `SELECT count(*) FROM stream_request WHERE expires_at > now()`).Scan(&n)
	return n, err
}
