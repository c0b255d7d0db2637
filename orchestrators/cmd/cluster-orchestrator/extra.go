// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/metricnames"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster"
)

// extra is what the reference says beside flags.
func extra() (manual.Extra, error) {
	metrics, err := metricnames.Of(cluster.Metrics())
	return manual.Extra{
		Variables: []manual.Variable{
			{Name: "GOGC", Meaning: "how far the heap may grow before memory is collected, in per cent (default: 30)"},
		},
		Ports: []manual.Port{
			{Port: semantic.ClusterPort, Protocol: "TCP", On: "cluster", From: "workers", Meaning: "join, certificates, secrets, logs and commands", Flag: "--listen"},
			{Port: semantic.BrokerPort, Protocol: "TCP", On: "cluster", From: "workers", Meaning: "MQTT over TLS, certificates on both sides", Flag: "--mqtt-listen"},
			{Port: semantic.BrokerPort, Protocol: "UDP", On: "cluster", From: "workers", Meaning: "where others see a worker behind a NAT", Flag: "--hello-listen"},
			{Port: semantic.ClusterPort, Protocol: "UDP", On: "cluster", From: "workers", Meaning: "the same from a second port: what kind of NAT it is", Flag: "--other-hello-listen"},
		},
		Metrics: &manual.Metrics{Where: "`/metrics` of the REST API, from this machine", Metrics: metrics},
	}, err
}
