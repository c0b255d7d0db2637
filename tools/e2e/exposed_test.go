// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// exposed: a port of a descriptor is open at the worker of each instance, for everybody, who is seen as who he is; an instance for which no
// worker has the port left waits, says why, and comes once one has.
func exposed(t *testing.T, s *scene.Scene) {
	before := tasks(t, s)
	application(t, s, "exposed.json")
	placed := deploy(t, s, "web", 2)
	self, err := s.Service(t.Context(), "client")
	if err != nil {
		t.Fatal(err)
	}
	client, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for _, c := range placed {
		at[c.Worker] = c.Number
	}
	hosts := s.Testbed.Hosts(testbed.RoleWorker)
	if len(at) != len(hosts) {
		t.Fatalf("the instances are on %v, want one on each worker, where the port is free", at)
	}
	root := s.Testbed.Hosts(testbed.RoleRoot)[0]
	for _, w := range hosts {
		url := "http://" + net.JoinHostPort(w.Address, "8080") + "/"
		const n = 5
		check := func(who, want string, r hello.GetReport, err error) {
			t.Helper()
			if err != nil || r.Failed > 0 || len(r.Instances) != 1 || r.Peers[want] != n {
				t.Errorf("%s at %s: %+v, %v; want %d answers of one instance, which has seen %s", who, url, r, err, n, want)
			}
		}
		for _, from := range append(hosts, root) {
			var r hello.GetReport
			err := s.CallHost(t.Context(), from.Name, &r, "get", url, "-n", fmt.Sprint(n))
			check("host "+from.Name, from.Address, r, err)
		}
		seen := callerAs(self.Instances[0], w.Address)
		for _, h := range hosts {
			if h.Name == client.Worker && h.Name != w.Name {
				seen = h.Address // its worker stands for it outside of the overlay
			}
		}
		var r hello.GetReport
		err := s.Call(t.Context(), client, &r, "get", url, "-n", fmt.Sprint(n))
		check("the client on "+client.Worker, seen, r, err)
		var b hello.BurstReport
		if err := s.CallHost(t.Context(), root.Name, &b, "udp-burst", net.JoinHostPort(w.Address, "8080"), "-n", "20"); err != nil || b.Received != 20 || b.Peers[root.Address] != 20 {
			t.Errorf("datagrams to %s: %+v, %v", w.Name, b, err)
		}
	}
	crowdedOut(t, s)
	remove(t, s, "exposed")
	until(t, time.Minute, func(context.Context) error {
		if now := tasks(t, s); !maps.Equal(before, now) {
			return fmt.Errorf("containers were %v, are %v", before, now)
		}
		return nil
	})
}

// callerAs is who an instance is seen as by whom it calls at an address.
func callerAs(i client.Instance, address string) string {
	if strings.Contains(address, ":") {
		return i.InstanceIPv6
	}
	return i.InstanceIP
}

// crowdedOut: a third instance finds the port taken on both workers.
func crowdedOut(t *testing.T, s *scene.Scene) {
	v, err := s.Service(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, func(ctx context.Context) error {
		now, err := s.Service(ctx, "web")
		if err != nil {
			return err
		}
		for _, i := range now.Instances {
			if i.Status == wire.StateNoWorkerCapacity && strings.Contains(i.StatusDetail, "host port 8080/tcp is taken there by another instance") {
				return nil
			}
		}
		return fmt.Errorf("instances: %+v", now.Instances)
	})
	if err := s.API.RemoveInstance(t.Context(), v.ID, v.Instances[0].Number); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "web", 2)
}
