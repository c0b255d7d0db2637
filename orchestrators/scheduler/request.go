// SPDX-License-Identifier: Apache-2.0

package scheduler

import "github.com/oakestra/oakestra-ebpf/control/wire"

// Request is what one instance needs. The zero value of a field asks for nothing.
type Request struct {
	// Architectures are those that the instance can run on, in Go's names (amd64, arm64); empty for any.
	Architectures []string
	// Runtime is the virtualisation that runs it, such as "container"; empty for any.
	Runtime string
	// Need is what is reserved for it.
	Need wire.Slot
	// Nodes is a direct constraint: names or ids of the only candidates allowed; empty for any.
	Nodes []string
	// Ports are the host ports that it takes: on one candidate each pair of protocol and host port is given once.
	Ports []wire.Port
	// Exclude are ids of candidates that must not be chosen, with the reason for each.
	Exclude map[string]string
}

// FromSpec returns the request of an instance of the given specification.
func FromSpec(spec *wire.InstanceSpec) Request {
	return Request{
		Architectures: spec.Arch,
		Runtime:       spec.Runtime,
		Need:          NeedOf(spec),
		Nodes:         spec.Node,
		Ports:         spec.Ports,
	}
}

// NeedOf returns what an instance of the given specification reserves. Negative amounts count as none.
func NeedOf(spec *wire.InstanceSpec) wire.Slot {
	return wire.Slot{
		VCPUs:     float64(max(spec.VCPUs, 0)),
		MemoryMB:  int64(max(spec.MemoryMB, 0)),
		StorageMB: int64(max(spec.StorageMB, 0)),
		GPUs:      max(spec.GPUs, 0),
	}
}
