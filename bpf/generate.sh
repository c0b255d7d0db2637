#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles every program and cuts Go's types from the one object that has all maps. Run by `go generate`.
set -eu
# The headers of the kernel's user interface lie apart by architecture; what the programs take from them is the same in all.
export BPF2GO_CC=clang
export BPF2GO_CFLAGS="-O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-address-of-packed-member -Werror \
-mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu"
types="oak_addr oak_prefix oak_config oak_endpoint oak_peer oak_peer_stats oak_source oak_vip oak_service oak_backend
	oak_load oak_tuple oak_key oak_tuple4 oak_key4 oak_ct oak_ct4 oak_ct6 oak_pending oak_scratch oak_pkt oak_fragment_key oak_fragment oak_hello oak_counter
	oak_peer_addr oak_peer_health oak_port oak_exposed oak_drop oak_stat oak_ct_flags oak_tcp_seen oak_policy oak_peer_state oak_endpoint_flags oak_where
	oak_limits"
go tool bpf2go -target bpfel $(printf -- '-type %s ' $types) maps maps.c
for program in container uplink upcall guard; do
	go tool bpf2go -target bpfel -no-global-types "$program" "$program.c"
done
