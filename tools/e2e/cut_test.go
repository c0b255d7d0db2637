// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// cuts: a cut between the workers loses what passes between them and nothing else; healed, everything is as before.
func cuts(t *testing.T, s *scene.Scene) {
	before := tasks(t, s)
	workers := s.Testbed.Hosts(testbed.RoleWorker)
	clusters := s.Testbed.Hosts(testbed.RoleCluster)
	reach := func(from, to testbed.Host) error {
		_, err := s.Testbed.Run(t.Context(), from.Name, "ping", "-c", "1", "-W", "1", to.Address)
		return err
	}
	address := remoteServer(t, s)
	if err := s.Testbed.AddCut(t.Context(), workers[0].Name, workers[1].Name); err != nil {
		t.Fatal(err)
	}
	if reach(workers[0], workers[1]) == nil || reach(workers[1], workers[0]) == nil {
		t.Error("the workers reach one another across the cut")
	}
	if err := reach(workers[0], clusters[0]); err != nil {
		t.Errorf("the cut is wider than asked: %v", err)
	}
	if answers(t.Context(), s, address) == nil {
		t.Error("a server on the other worker answers across the cut")
	}
	if err := s.Testbed.Heal(t.Context(), workers[1].Name, workers[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := reach(workers[0], workers[1]); err != nil {
		t.Errorf("after the cut was healed: %v", err)
	}
	until(t, 20*time.Second, func(ctx context.Context) error { return answers(ctx, s, address) })

	if err := s.Testbed.AddCut(t.Context(), workers[1].Name, ""); err != nil {
		t.Fatal(err)
	}
	if reach(workers[1], clusters[0]) == nil || reach(clusters[0], workers[1]) == nil {
		t.Error("a host that is cut off reaches another")
	}
	if err := s.Testbed.Heal(t.Context(), workers[1].Name, ""); err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, func(ctx context.Context) error { return answers(ctx, s, address) })
	sameTasks(t, s, before)
}

// remoteServer returns the Instance IP of a server that is not on the client's worker.
func remoteServer(t *testing.T, s *scene.Scene) string {
	t.Helper()
	client, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	placed, err := s.Containers(t.Context(), string(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range placed {
		for _, i := range v.Instances {
			if i.Number == c.Number && c.Worker != client.Worker {
				return i.InstanceIP
			}
		}
	}
	t.Fatalf("no server is on another worker than the client's: %v", placed)
	return ""
}
