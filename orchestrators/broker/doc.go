// SPDX-License-Identifier: Apache-2.0

// Package broker owns the MQTT broker that lives inside a cluster orchestrator: its TLS listener, who a client is (the common
// name of its certificate, nothing else), what it may write and read, and the cluster's own way in and out of it.
//
// It is a thin layer over mochi-mqtt. It keeps nothing on disk: the cluster publishes its retained state before the listener
// opens. It knows topics but no message.
package broker
