// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// TestCleanUp kills "up" with SIGKILL after one, two, … of its steps: "down" finds everything all the same, and the next
// "up" works.
func TestCleanUp(t *testing.T) {
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "oak-testbed")
	t.Cleanup(func() {
		if err := testbed.Down(context.Background(), testbed.DefaultDir); err != nil {
			t.Error(err)
		}
	})
	if err := testbed.Down(t.Context(), testbed.DefaultDir); err != nil {
		t.Fatal(err)
	}
	before := leftOvers(t)
	for _, steps := range []int{1, 3, 8, 12} {
		breakOff(t, program, steps)
		if steps == 8 {
			continue // the next "up" has to clear these away by itself
		}
		if out, err := exec.Command(program, "down").CombinedOutput(); err != nil {
			t.Fatalf("down after %d steps: %v: %s", steps, err, out)
		}
		if now := leftOvers(t); !slices.Equal(before, now) {
			t.Errorf("after %d steps and down there are %q, were %q", steps, now, before)
		}
	}
	if out, err := exec.Command(program, "up", "--workers", "1").CombinedOutput(); err != nil {
		t.Fatalf("up after all that: %v: %s", err, out)
	}
	if out, err := exec.Command(program, "up").CombinedOutput(); err == nil || !strings.Contains(string(out), "already") {
		t.Errorf("second up: %v: %s", err, out)
	}
	if err := testbed.Down(t.Context(), testbed.DefaultDir); err != nil {
		t.Fatal(err)
	}
	if now := leftOvers(t); !slices.Equal(before, now) {
		t.Errorf("after down there are %q, were %q", now, before)
	}
}

// breakOff starts a testbed and kills the command once it has reported so many steps.
func breakOff(t *testing.T, program string, steps int) {
	t.Helper()
	cmd := exec.Command(program, "up")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for range steps {
		if !lines.Scan() {
			t.Errorf("up has fewer than %d steps", steps)
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}

// leftOvers lists what a testbed could leave behind.
func leftOvers(t *testing.T) []string {
	t.Helper()
	all := glob(t, "/run/netns/oaktb-*", "/run/oak-testbed*", "/sys/fs/bpf/oakestra/c*-w*", "/sys/fs/cgroup/oakestra/*",
		"/sys/fs/cgroup/*/oakestra/*", testbed.DefaultDir+"/[^l.]*")
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		all = append(all, "link "+l.Attrs().Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all = append(all, "mount "+strings.Fields(line)[1])
	}
	ids, err := proc.Scan(proc.Marker{Env: "OAK_TESTBED=" + testbed.DefaultDir, MountDir: testbed.DefaultDir})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.PID))
		all = append(all, fmt.Sprintf("process %d %s", id.PID, strings.ReplaceAll(string(cmd), "\x00", " ")))
	}
	slices.Sort(all)
	return all
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// TestDemo: the demo holds, again right after one that was killed half-way.
func TestDemo(t *testing.T) {
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	before := leftOvers(t)
	program := filepath.Join(dir, "oak-testbed")
	demo := func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "demo")
		cmd.Dir = repo
		return cmd
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // in the midst of it
	_ = demo(ctx).Run()                                            // killed
	cancel()
	out, err := demo(t.Context()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Every step held") {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if now := leftOvers(t); !slices.Equal(before, now) {
		t.Errorf("after the demo there are %q, were %q", now, before)
	}
}
