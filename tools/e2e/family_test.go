// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// family is what of a service belongs to one kind of addresses.
type family struct {
	name     string
	service  func(*client.Service) string
	instance func(client.Instance) string
	// fresh are services that are first called in this family: one on the client's worker, one on the other.
	fresh []string
}

var (
	ipv4 = family{
		"IPv4", func(s *client.Service) string { return s.RoundRobin }, func(i client.Instance) string { return i.InstanceIP },
		[]string{"fresh1", "fresh2"},
	}
	ipv6 = family{
		"IPv6", func(s *client.Service) string { return s.RoundRobinV6 }, func(i client.Instance) string { return i.InstanceIPv6 },
		[]string{"fresh3", "fresh4"},
	}
)

// hostProcesses: what runs on a worker itself reaches services, instances beside it and on the other worker, and appears there under one
// address, the worker's own.
func hostProcesses(t *testing.T, s *scene.Scene, f family) {
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	for _, worker := range s.Testbed.Hosts(testbed.RoleWorker) {
		if err := s.SettleHost(t.Context(), worker.Name, f.service(v), servers); err != nil {
			t.Fatal(err)
		}
		const n = 10 * servers
		var r hello.GetReport
		if err := s.CallHost(t.Context(), worker.Name, &r, "get", scene.URL(f.service(v)), "-n", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if r.Failed != 0 || len(r.Instances) != servers || len(r.Peers) != 1 {
			t.Errorf("host %s: %d of %d failed (%v), answers by instance %v, servers saw %v, want one address", worker.Name, r.Failed, n, r.Errors, r.Instances, r.Peers)
		}
		var b hello.BurstReport
		if err := s.CallHost(t.Context(), worker.Name, &b, "udp-burst", net.JoinHostPort(f.service(v), "80"), "-n", "20"); err != nil {
			t.Fatal(err)
		}
		if b.Received != 20 || b.Misplaced != 0 {
			t.Errorf("host %s: %+v, want all datagrams, in order", worker.Name, b)
		}
		var p hello.PingReport
		if err := s.CallHost(t.Context(), worker.Name, &p, "ping", f.service(v), "-n", "6"); err != nil {
			t.Fatal(err)
		}
		if p.Received != 6 {
			t.Errorf("host %s: %d of 6 echoes came back", worker.Name, p.Received)
		}
	}
}
