// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/metricnames"
	"github.com/oakestra/oakestra-ebpf/control/netcfg"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/dataplane/dns"
	"github.com/oakestra/oakestra-ebpf/dataplane/localapi"
)

// extra is what the reference says beside flags.
func extra() (manual.Extra, error) {
	m, err := localapi.NewMetrics(localapi.Sources{Names: (*dns.Resolver)(nil).Collectors()})
	if err != nil {
		return manual.Extra{}, err
	}
	metrics, err := metricnames.Of(m.Registry())
	return manual.Extra{
		Keys: []manual.Keys{netcfg.Reference()},
		Ports: []manual.Port{
			{Port: semantic.TunnelPort, Protocol: "UDP", On: "worker", From: "workers", Meaning: "the overlay: VXLAN-GPE and hello packets", Flag: "--tunnel-port"},
		},
		Metrics: &manual.Metrics{Where: "`/metrics` of the local API", Metrics: metrics},
	}, err
}
