// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// undeploy: one instance less stops exactly that one, the others share what comes, and what was deleted last is gone.
func undeploy(t *testing.T, s *scene.Scene) {
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	before := tasks(t, s)
	last := v.Instances[len(v.Instances)-1].Number
	if err := s.API.RemoveInstance(t.Context(), v.ID, last); err != nil {
		t.Fatal(err)
	}
	left := awaitRunning(t, s, "server", len(v.Instances)-1)
	now := tasks(t, s)
	for _, c := range left {
		if c.Number == last || before[c.ID] != now[c.ID] {
			t.Errorf("container %s: process %d before, %d now; instance %d was to stop", c.ID, before[c.ID], now[c.ID], last)
		}
	}
	events, err := s.API.Events(t.Context(), v.ID, last)
	if err != nil {
		t.Fatal(err)
	}
	var states []wire.State
	for _, e := range events {
		states = append(states, e.Status)
	}
	if n := len(states); n < 4 || states[0] != wire.StateRequested || states[n-1] != wire.StateUndeployed || !slices.Contains(states, wire.StateRunning) {
		t.Errorf("the events of instance %d are %v, want them to lead from its request by way of running to its end", last, states)
	}
	until(t, 10*time.Second, func(ctx context.Context) error {
		c, err := s.Client(ctx)
		if err != nil {
			return err
		}
		var r hello.GetReport
		if err := s.Call(ctx, c, &r, "get", "http://"+v.RoundRobin+"/", "-n", "20"); err != nil {
			return err
		}
		if r.Failed > 0 || len(r.Instances) != len(left) {
			return fmt.Errorf("%d of 20 failed (%v); answers by instance %v, want %d instances", r.Failed, r.Errors, r.Instances, len(left))
		}
		return nil
	})
	for _, app := range []string{"hello", "fresh"} {
		remove(t, s, app)
	}
	until(t, time.Minute, noTasks(t, s))
}

// noTasks says which containers still run.
func noTasks(t *testing.T, s *scene.Scene) func(context.Context) error {
	return func(context.Context) error {
		if left := tasks(t, s); len(left) > 0 {
			return fmt.Errorf("containers still run: %v", left)
		}
		return nil
	}
}

// remove deletes an application.
func remove(t *testing.T, s *scene.Scene, name string) {
	t.Helper()
	apps, err := s.API.Applications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range apps {
		if a.Name == name {
			if err := s.API.DeleteApplication(t.Context(), a.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}
