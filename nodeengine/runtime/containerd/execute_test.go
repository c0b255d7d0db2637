// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

func testExecute(t *testing.T, g *rig) {
	id := g.start(g.instance(40, "sleep"))
	for _, code := range []string{"0", "3"} {
		status, err := g.Execute(t.Context(), id, []string{"/probe", "exit", code})
		if err != nil || status != uint32(code[0]-'0') {
			t.Errorf("status %d, %v, want %s", status, err, code)
		}
	}
	if _, err := g.Execute(t.Context(), id, []string{"/absent"}); err == nil {
		t.Error("a program that is not there runs")
	}
	if _, err := g.Execute(t.Context(), "absent", []string{"/probe"}); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("in a container that is not there: %v", err)
	}
	before := g.processes(id)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := g.Execute(ctx, id, []string{"/probe", "stubborn"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("a command that hangs: %v after %s", err, time.Since(began))
	}
	for end := time.Now().Add(10 * time.Second); g.processes(id) != before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d processes, %d before the command that was given up", g.processes(id), before)
		}
	}
}

// processes counts the container's.
func (g *rig) processes(id string) int {
	g.t.Helper()
	task, err := g.task(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	pids, err := task.Pids(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return len(pids)
}

func testLabels(t *testing.T, g *rig) {
	in := g.instance(41, "sleep")
	in.Spec.Labels = map[string]string{"tier": "front", "example.org/team": "a", labelService: "forged", "containerd.io/gc.root": "x"}
	c, err := g.client.ContainerService().Get(t.Context(), g.start(in))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"tier": "front", "example.org/team": "a", labelService: in.ServiceID, "containerd.io/gc.root": ""} {
		if got := c.Labels[key]; got != want {
			t.Errorf("label %s is %q, want %q", key, got, want)
		}
	}
}
