// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"errors"
	"fmt"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Role is what a host is for.
type Role string

// The roles of hosts.
const (
	RoleRoot    Role = "root"
	RoleCluster Role = "cluster"
	RoleWorker  Role = "worker"
	// RoleStandby is for a second orchestrator of a cluster, which takes over from the first.
	RoleStandby Role = "standby"
	// RoleRouter is for the router that a cluster's workers are behind.
	RoleRouter Role = "router"
)

// Machine is the name under which components that run in the machine's own namespace are known: the registry and Postgres.
const Machine = "machine"

// rootHost is the name of the host of the first root orchestrator, and of the database of all of them.
const rootHost = "root"

// MaxRoots, MaxClusters and MaxWorkers bound a testbed; they follow from how addresses are given out.
const (
	MaxRoots    = 9
	MaxClusters = 99
	MaxWorkers  = 200
)

// Host is one host of the testbed.
type Host struct {
	Name string `json:"name"`
	// NetNS is the name of the network namespace, as "ip netns" shows it.
	NetNS   string `json:"netns"`
	Address string `json:"address"`
	Role    Role   `json:"role"`
	// Cluster is the host of the cluster orchestrator that a worker, a standby or a router belongs to.
	Cluster string `json:"cluster,omitempty"`
	// Router is the host that this one is behind. Its address is then one at home, which others may have in theirs.
	Router string `json:"router,omitempty"`
}

// plan returns the hosts of a testbed, routers before those that are behind them.
func plan(o Options) ([]Host, error) {
	f := o.family()
	if o.Roots < 0 || o.Roots > MaxRoots {
		return nil, fmt.Errorf("plan the testbed: want 1 to %d roots, got %d", MaxRoots, o.Roots)
	}
	if o.Clusters < 0 || o.Clusters > MaxClusters || o.Workers < 0 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("plan the testbed: want 0 to %d clusters and 0 to %d workers each, got %d and %d",
			MaxClusters, MaxWorkers, o.Clusters, o.Workers)
	}
	if o.NAT && o.IPv6 {
		return nil, errors.New("plan the testbed: routers translate addresses of IPv4 alone")
	}
	hosts := []Host{newHost(f, rootHost, RoleRoot, "", 0, 2)}
	for r := 2; r <= o.Roots; r++ {
		hosts = append(hosts, newHost(f, fmt.Sprint(rootHost, r), RoleRoot, "", 0, 1+r))
	}
	for c := 1; c <= o.Clusters; c++ {
		cluster := fmt.Sprintf("c%d", c)
		hosts = append(hosts, newHost(f, cluster, RoleCluster, "", c, 1))
		if o.Standby {
			hosts = append(hosts, newHost(f, cluster+"s", RoleStandby, cluster, c, 2))
		}
		at, third, router := f, c, ""
		if o.NAT {
			router = cluster + "-nat"
			hosts = append(hosts, newHost(f, router, RoleRouter, cluster, c, 3))
			at, third = underlay.Home, 1
		}
		for w := 1; w <= o.Workers; w++ {
			h := newHost(at, fmt.Sprintf("%s-w%d", cluster, w), RoleWorker, cluster, third, 10+w)
			h.Router = router
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// link is the host as the underlay knows it.
func (h Host) link() (underlay.Host, error) {
	a, err := parseAddr(h.Address)
	return underlay.Host{Name: h.Name, Address: a, Router: h.Router, Routes: h.Role == RoleRouter}, err
}

func newHost(f underlay.Family, name string, role Role, cluster string, third, fourth int) Host {
	a := f.Address(byte(third), byte(fourth))
	return Host{Name: name, NetNS: underlay.NetNS(name), Address: a.String(), Role: role, Cluster: cluster}
}
