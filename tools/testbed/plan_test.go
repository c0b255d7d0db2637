// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

func TestPlan(t *testing.T) {
	hosts, err := plan(Options{Roots: 1, Clusters: 2, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := []Host{
		{"root", "oaktb-root", "198.18.0.2", RoleRoot, "", ""},
		{"c1", "oaktb-c1", "198.18.1.1", RoleCluster, "", ""},
		{"c1-w1", "oaktb-c1-w1", "198.18.1.11", RoleWorker, "c1", ""},
		{"c1-w2", "oaktb-c1-w2", "198.18.1.12", RoleWorker, "c1", ""},
		{"c2", "oaktb-c2", "198.18.2.1", RoleCluster, "", ""},
		{"c2-w1", "oaktb-c2-w1", "198.18.2.11", RoleWorker, "c2", ""},
		{"c2-w2", "oaktb-c2-w2", "198.18.2.12", RoleWorker, "c2", ""},
	}
	if len(hosts) != len(want) {
		t.Fatalf("got %d hosts, want %d", len(hosts), len(want))
	}
	for i := range want {
		if hosts[i] != want[i] {
			t.Errorf("host %d is %+v, want %+v", i, hosts[i], want[i])
		}
	}
}

// TestPlanWithRouters: workers have their addresses at home, and routers one of the underlay.
func TestPlanWithRouters(t *testing.T) {
	hosts, err := plan(Options{Clusters: 2, Workers: 1, Standby: true, NAT: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []Host{
		{"root", "oaktb-root", "198.18.0.2", RoleRoot, "", ""},
		{"c1", "oaktb-c1", "198.18.1.1", RoleCluster, "", ""},
		{"c1s", "oaktb-c1s", "198.18.1.2", RoleStandby, "c1", ""},
		{"c1-nat", "oaktb-c1-nat", "198.18.1.3", RoleRouter, "c1", ""},
		{"c1-w1", "oaktb-c1-w1", "192.168.1.11", RoleWorker, "c1", "c1-nat"},
		{"c2", "oaktb-c2", "198.18.2.1", RoleCluster, "", ""},
		{"c2s", "oaktb-c2s", "198.18.2.2", RoleStandby, "c2", ""},
		{"c2-nat", "oaktb-c2-nat", "198.18.2.3", RoleRouter, "c2", ""},
		{"c2-w1", "oaktb-c2-w1", "192.168.1.11", RoleWorker, "c2", "c2-nat"},
	}
	if !slices.Equal(hosts, want) {
		t.Errorf("hosts are %+v", hosts)
	}
	if _, err := plan(Options{Clusters: 1, Workers: 1, NAT: true, IPv6: true}); err == nil {
		t.Error("routers translate IPv6")
	}
}

func TestPlanLargest(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { planLargest(t, underlay.IPv4) })
	t.Run("IPv6", func(t *testing.T) { planLargest(t, underlay.IPv6) })
}

func planLargest(t *testing.T, f underlay.Family) {
	hosts, err := plan(Options{Roots: MaxRoots, Clusters: MaxClusters, Workers: MaxWorkers, Standby: true, IPv6: f == underlay.IPv6})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{f.Machine.String(): true}
	const maxLink = 15 // a host's name is that of its link
	for _, h := range hosts {
		a, err := netip.ParseAddr(h.Address)
		if err != nil || !f.Network.Contains(a) || seen[h.Address] || len(h.Name) > maxLink {
			t.Fatalf("host %+v: address or name unusable, or taken", h)
		}
		seen[h.Address] = true
		if h.Role == RoleWorker && !workerName.MatchString(h.Name) {
			t.Fatalf("the clean-up would not know worker %s", h.Name)
		}
	}
}

func TestPlanBounds(t *testing.T) {
	for _, n := range [][3]int{{1, -1, 1}, {1, 1, -1}, {1, MaxClusters + 1, 1}, {1, 1, MaxWorkers + 1}, {-1, 1, 1}, {MaxRoots + 1, 1, 1}} {
		if _, err := plan(Options{Roots: n[0], Clusters: n[1], Workers: n[2]}); err == nil {
			t.Errorf("%d roots and %d clusters of %d workers are accepted", n[0], n[1], n[2])
		}
	}
}
