// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/metricnames"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root"
)

// extra is what the reference says beside flags.
func extra() (manual.Extra, error) {
	metrics, err := metricnames.Of(root.Metrics())
	return manual.Extra{
		Variables: []manual.Variable{
			{Name: secretsKeyVariable, Meaning: "the key that seals users' secrets, base64 of 32 bytes, in place of --secrets-key-file"},
			{Name: "MAIL_SERVER, MAIL_PORT, MAIL_USER, MAIL_PASSWORD, MAIL_FROM", Meaning: "the mail server where no --mail flag names one, under the names that the original reads"},
			{Name: "GOGC", Meaning: "how far the heap may grow before memory is collected, in per cent (default: 30)"},
		},
		Ports: []manual.Port{
			{Port: semantic.RootPort, Protocol: "TCP", On: "root", From: "users, clusters", Meaning: "REST API, TLS and, from this machine, plain HTTP", Flag: "--listen"},
		},
		Metrics: &manual.Metrics{Where: "`/metrics` of the REST API, for this machine and for bearers of an administrator's token", Metrics: metrics},
	}, err
}
