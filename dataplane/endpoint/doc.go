// SPDX-License-Identifier: Apache-2.0

// Package endpoint owns the worker's local endpoints: it attaches the network namespaces of instances to the overlay and
// detaches them, gives them addresses and tags, and keeps the maps endpoints and local in step.
//
// What is attached stands in the state folder and in the kernel. [Open] compares the two: what both know is kept without
// touching a packet, what the kernel has lost is dropped and reported. The package knows nothing of clusters, routes or MQTT.
package endpoint
