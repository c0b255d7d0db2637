// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// rebootTime is how long a worker that is rebooted alone may take until its workloads answer one another.
const rebootTime = 30 * time.Second

// TestReboot reboots workers that nobody above can be reached from: each starts what its disk says, and the workloads reach one
// another by service address, on the worker and across workers. When the tiers above are back nothing is started or stopped.
func TestReboot(t *testing.T) {
	s := raiseWith(t, 2, ipv4, func(o *testbed.Options) { o.Broker = testbed.BrokerMosquitto })
	application(t, s, "hello.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "server", 4)
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, s, v.RoundRobin, len(v.Instances))
	client := clientOf(t, s, tasks(t, s))
	other := "c1-w1"
	if client.Worker == other {
		other = "c1-w2"
	}
	// NetManager stores what it has learned a moment later.
	time.Sleep(2 * time.Second)
	for _, h := range []string{"c1", "root"} {
		if err := s.Testbed.AddCut(t.Context(), h, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, hosts := range [][]string{{client.Worker}, {other}, {client.Worker, other}} {
		before := tasks(t, s)
		start := time.Now()
		for _, h := range hosts {
			if err := s.Testbed.Reboot(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
		booted := time.Since(start)
		err := scene.Until(t.Context(), rebootTime-booted, func(ctx context.Context) error { return allAnswer(ctx, s, client, v.RoundRobin, 4) })
		if err != nil {
			t.Fatalf("after the reboot of %v: %v", hosts, err)
		}
		t.Logf("reboot of %v: programs answer after %s, all workloads reach one another after %s", hosts,
			booted.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		now := tasks(t, s)
		for id, pid := range now {
			if _, was := before[id]; !was {
				t.Errorf("container %s was not there before", id)
			} else if before[id] == pid && len(hosts) == 2 {
				t.Errorf("container %s has survived the reboot of its worker", id)
			}
		}
		if len(now) != len(before) {
			t.Errorf("containers were %v, are %v", before, now)
		}
	}
	before := tasks(t, s)
	for _, h := range []string{"c1", "root"} {
		if err := s.Testbed.Heal(t.Context(), h, ""); err != nil {
			t.Fatal(err)
		}
	}
	awaitRunning(t, s, "server", 4)
	until(t, 30*time.Second, func(ctx context.Context) error { return allAnswer(ctx, s, client, v.RoundRobin, 4) })
	sameTasks(t, s, before)
	oneMore(t, s)
}

// allAnswer has a container call a service until n instances have answered.
func allAnswer(ctx context.Context, s *scene.Scene, from scene.Container, address string, n int) error {
	var r hello.GetReport
	if err := s.Call(ctx, from, &r, "get", scene.URL(address), "-n", fmt.Sprint(3*n), "-timeout", "2s"); err != nil {
		return err
	}
	if r.Failed > 0 || len(r.Instances) != n {
		return fmt.Errorf("%d of %d calls failed (%v); answers by instance %v, want %d", r.Failed, r.Requests, r.Errors, r.Instances, n)
	}
	return nil
}
