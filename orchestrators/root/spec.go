// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// specOf returns what a worker has to know of a service's instance, but for the Instance IPs.
func specOf(app application, m *sla.Microservice, addrs []wire.ServiceAddress) (wire.InstanceSpec, error) {
	ports, err := m.Ports()
	if err != nil {
		return wire.InstanceSpec{}, fmt.Errorf("read ports of service %s: %w", m.Name, err)
	}
	spec := wire.InstanceSpec{
		JobName:          semantic.JobName(app.Name, app.Namespace, m.Name, m.Namespace),
		ApplicationName:  app.Name,
		ApplicationNS:    app.Namespace,
		ServiceName:      m.Name,
		ServiceNamespace: m.Namespace,
		Organization:     app.Organization,
		Runtime:          m.Runtime(),
		Image:            m.Code,
		Platform:         m.Platform,
		Arch:             m.Arch,
		Cmd:              m.Cmd,
		Environment:      m.Environment,
		VCPUs:            m.VCPUs,
		MemoryMB:         m.MemoryMB,
		StorageMB:        m.StorageMB,
		GPUs:             m.VGPUs,
		TPUs:             m.VTPUs,
		OneShot:          m.OneShot,
		Privileged:       m.Privileged,
		Ports:            ports,
		Addresses:        addrs,
		BandwidthIn:      m.BandwidthIn,
		BandwidthOut:     m.BandwidthOut,
		Restart:          m.Restart,
		Liveness:         m.Liveness,
		Readiness:        m.Readiness,
		Labels:           m.Labels,
	}
	for _, list := range [][]sla.Constraint{m.Constraints, app.Constraints} {
		constrain(&spec, list)
	}
	for i := range m.Volumes {
		spec.VolumeDrivers = append(spec.VolumeDrivers, m.Volumes[i].Driver)
	}
	for i := range m.Connectivity {
		for _, c := range m.Connectivity[i].Constraints {
			if c.Type == "bandwidth" {
				kbit := int(min(max(c.Threshold, 0), sla.MaxBandwidthKbit))
				spec.BandwidthIn, spec.BandwidthOut = spec.BandwidthIn+kbit, spec.BandwidthOut+kbit
			}
		}
	}
	return spec, nil
}

// constrain adds what constraints ask of a worker.
func constrain(spec *wire.InstanceSpec, list []sla.Constraint) {
	for i := range list {
		switch c := &list[i]; c.Type {
		case sla.ConstraintDirect:
			spec.Node = append(spec.Node, c.Nodes()...)
		case sla.ConstraintAddons:
			spec.Addons = append(spec.Addons, c.Needs...)
		}
	}
}
