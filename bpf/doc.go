// SPDX-License-Identifier: Apache-2.0

// Package bpf owns the programs that run in the kernel: their C sources, the objects compiled from them, the Go types of
// all map keys and values, and typed tables over the pinned maps.
//
// It knows nothing of clusters, MQTT or containers and imports nothing of this project. Objects are committed, so that a user
// needs no compiler; `make generate` makes them anew.
package bpf

//go:generate go tool bpf2go -target bpfel -cc clang -cflags "-O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" -type oak_config -type oak_endpoint -type oak_peer -type oak_peer_stats -type oak_source -type oak_vip -type oak_service -type oak_backend -type oak_ct_key -type oak_ct -type oak_pending -type oak_hello -type oak_counter -type oak_addr -type oak_prefix -type oak_drop -type oak_stat -type oak_ct_flags -type oak_tcp_seen -type oak_policy -type oak_peer_state -type oak_limits maps maps.c
