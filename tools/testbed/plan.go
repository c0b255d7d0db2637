// SPDX-License-Identifier: Apache-2.0

package testbed

import (
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
	// Cluster is the host of the cluster orchestrator that a worker, or a standby, belongs to.
	Cluster string `json:"cluster,omitempty"`
}

// plan returns the hosts of a testbed with so many root orchestrators, and clusters of so many workers each, with addresses of a family. With
// standby each cluster has a second orchestrator.
func plan(f underlay.Family, roots, clusters, workers int, standby bool) ([]Host, error) {
	if roots < 0 || roots > MaxRoots {
		return nil, fmt.Errorf("plan the testbed: want 1 to %d roots, got %d", MaxRoots, roots)
	}
	if clusters < 0 || clusters > MaxClusters || workers < 0 || workers > MaxWorkers {
		return nil, fmt.Errorf("plan the testbed: want 0 to %d clusters and 0 to %d workers each, got %d and %d",
			MaxClusters, MaxWorkers, clusters, workers)
	}
	hosts := []Host{newHost(f, rootHost, RoleRoot, "", 0, 2)}
	for r := 2; r <= roots; r++ {
		hosts = append(hosts, newHost(f, fmt.Sprint(rootHost, r), RoleRoot, "", 0, 1+r))
	}
	for c := 1; c <= clusters; c++ {
		cluster := fmt.Sprintf("c%d", c)
		hosts = append(hosts, newHost(f, cluster, RoleCluster, "", c, 1))
		if standby {
			hosts = append(hosts, newHost(f, cluster+"s", RoleStandby, cluster, c, 2))
		}
		for w := 1; w <= workers; w++ {
			hosts = append(hosts, newHost(f, fmt.Sprintf("%s-w%d", cluster, w), RoleWorker, cluster, c, 10+w))
		}
	}
	return hosts, nil
}

func newHost(f underlay.Family, name string, role Role, cluster string, third, fourth int) Host {
	a := f.Address(byte(third), byte(fourth))
	return Host{Name: name, NetNS: underlay.NetNS(name), Address: a.String(), Role: role, Cluster: cluster}
}
