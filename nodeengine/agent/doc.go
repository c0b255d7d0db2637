// SPDX-License-Identifier: Apache-2.0

// Package agent owns the way from desired to running on one worker: it stores what the cluster wants, brings each instance
// there and keeps it there, and knows what to report.
//
// One goroutine per instance does all that concerns it, in order, so that a slow image does not hold up another instance. A
// workload stops only on a tombstone or for a higher generation of itself; what no list mentions runs on and is reported as
// unclaimed. The agent knows neither MQTT nor containerd: it is handed a runtime and a network.
package agent
