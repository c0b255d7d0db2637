// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime/containerd/containerdtest"
)

// testHalfMade kills containerd while it makes a task, at several moments, of which at least one leaves a shim without a task.
func testHalfMade(t *testing.T, g *rig) {
	halfMade := 0
	for attempt := range 12 {
		in := g.instance(60 + attempt)
		id := in.ID()
		path, err := g.netns.Create(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = g.Remove(context.Background(), id)
			_ = g.netns.Remove(id)
		})
		network := path
		if attempt == 0 {
			if err := g.Pull(t.Context(), in.Spec); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- g.Create(t.Context(), in, network) }()
		bundle := filepath.Join(g.server.Dir, "state", "io.containerd.runtime.v2.task", containerdtest.Namespace, id)
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if shim, _ := filepath.Glob(filepath.Join(bundle, "address")); len(shim) > 0 {
				break
			}
		}
		time.Sleep(time.Duration(attempt) * 4 * time.Millisecond)
		g.server.Stop()
		<-done
		g.server.Run(t)
		g.connect()
		if _, err := os.Stat(bundle); err == nil {
			if _, err := g.task(t.Context(), id); errors.Is(err, runtime.ErrNotFound) {
				halfMade++
			}
		}
		if err := g.Create(t.Context(), in, network); err != nil {
			t.Fatalf("attempt %d, after containerd was killed while it made the task: %v", attempt, err)
		}
		if err := g.Start(t.Context(), id, nameserver); err != nil {
			t.Fatal(err)
		}
		if err := g.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if halfMade == 0 {
		t.Error("containerd was never killed in the middle: this test has shown nothing")
	}
}
