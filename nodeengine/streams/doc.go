// SPDX-License-Identifier: Apache-2.0

// Package streams owns the worker's end of streams: it takes the cluster's requests, dials it, and there serves an instance's log or runs a
// command in it. A stream ends with either end; a command ends with its stream. The package knows neither MQTT nor containerd.
package streams
