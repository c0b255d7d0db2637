// SPDX-License-Identifier: Apache-2.0

package scheduler

import "github.com/oakestra/oakestra-ebpf/control/wire"

// Request is what one instance needs. The zero value of a field asks for nothing.
type Request struct {
	// Service is the id of the instance's service, whose instances are kept apart.
	Service string
	// Architectures are those that the instance can run on, in Go's names (amd64, arm64); empty for any.
	Architectures []string
	// Runtime is the virtualisation that runs it, such as "container"; empty for any.
	Runtime string
	// Need is what is reserved for it.
	Need wire.Slot
	// Nodes is a direct constraint: names or ids of the only candidates allowed; empty for any.
	Nodes []string
	// Allowed are names or ids of the only sites allowed, Denied those of sites to keep out of. HasAllowed says that Allowed counts although
	// it is empty: what two constraints allow may have nothing in common.
	Allowed, Denied []string
	HasAllowed      bool
	// Even has instances of the service counted by site; otherwise a site with more workers gets more of them.
	Even bool
	// Addons and VolumeDrivers have to be offered.
	Addons, VolumeDrivers []string
	// Privileged says that it asks for all rights on its worker.
	Privileged bool
	// Near is what it has to be near to.
	Near []Demand
	// Ports are the host ports that it takes: on one candidate each pair of protocol and host port is given once.
	Ports []wire.Port
	// Exclude are ids of candidates or sites that must not be chosen, with the reason for each.
	Exclude map[string]string
}

// FromSpec returns the request of an instance of a service with the given specification, but for what it is to be near to.
func FromSpec(service string, spec *wire.InstanceSpec) Request {
	return Request{
		Service:       service,
		Architectures: spec.Arch,
		Runtime:       spec.Runtime,
		Need:          NeedOf(spec),
		Nodes:         spec.Node,
		Addons:        spec.Addons,
		VolumeDrivers: spec.VolumeDrivers,
		Privileged:    spec.Privileged,
		Ports:         spec.Ports,
	}
}

// NeedOf returns what an instance of the given specification reserves. Negative amounts count as none.
func NeedOf(spec *wire.InstanceSpec) wire.Slot {
	return wire.Slot{
		VCPUs:        float64(max(spec.VCPUs, 0)),
		MemoryMB:     int64(max(spec.MemoryMB, 0)),
		StorageMB:    int64(max(spec.StorageMB, 0)),
		GPUs:         max(spec.GPUs, 0),
		TPUs:         max(spec.TPUs, 0),
		BandwidthIn:  int64(max(spec.BandwidthIn, 0)),
		BandwidthOut: int64(max(spec.BandwidthOut, 0)),
	}
}
