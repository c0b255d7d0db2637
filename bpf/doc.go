// SPDX-License-Identifier: Apache-2.0

// Package bpf owns the programs that run in the kernel: their C sources, the objects compiled from them, the Go types of
// all map keys and values, and typed tables over the pinned maps.
//
// It knows nothing of clusters, MQTT or containers and imports nothing of this project. Objects are committed, so that a user
// needs no compiler; `make generate` makes them anew.
package bpf

//go:generate ./generate.sh
