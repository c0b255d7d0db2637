// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// Way is how containers are wired and services translated.
type Way string

// The ways.
const (
	Hosts    Way = "host"     // no containers, no services
	Routed   Way = "routed"   // containers and routes, no services
	Bare     Way = "bare"     // the same behind the least that programs on veths and a tunnel can be, no services
	NFT      Way = "nft"      // bridge, kernel VXLAN, kube-proxy's nftables rules
	IPTables Way = "iptables" // the same with its iptables rules
	Oak      Way = "oak"      // this project
)

// Setup is two workers wired in a way. Variants that have the same setup share it.
type Setup struct {
	Way Way `json:"way"`
	// Services is how many services there are, Endpoints how many instances each of them has; neither for ways without services.
	Services  int `json:"services,omitempty"`
	Endpoints int `json:"endpoints,omitempty"`
}

// Name is short enough to begin names of namespaces.
func (s Setup) Name() string {
	if s.Services == 0 {
		return string(s.Way)
	}
	return fmt.Sprintf("%s-%dx%d", s.Way, s.Services, s.Endpoints)
}

// Replicas is how many containers answer on each worker.
func (s Setup) Replicas() int { return max(s.Endpoints, 1) }

// Variant is one column of the comparison.
type Variant struct {
	Name   string         `json:"name"`
	Setup  Setup          `json:"setup"`
	Place  topology.Place `json:"place"`
	IPv6   bool           `json:"ipv6,omitempty"`
	Policy wire.Policy    `json:"policy,omitempty"`
	// Plain has the uplinks without offloads.
	Plain bool `json:"plain,omitempty"`
}

// Workload is a sort of traffic and how many streams of it.
type Workload struct {
	Name    string    `json:"name"`
	Kind    load.Kind `json:"kind"`
	Streams int       `json:"streams"`
}

// The workloads.
var (
	Bulk    = Workload{"bulk", load.Bulk, 1}
	Bulk4   = Workload{"bulk4", load.Bulk, 4}
	Request = Workload{"request", load.Request, 1}
	Connect = Workload{"connect", load.Connect, 1}
	UDP     = Workload{"udp", load.UDP, 1}
)

// Workloads are all of them, in the order of reports.
func Workloads() []Workload { return []Workload{Bulk, Bulk4, Request, Connect, UDP} }
