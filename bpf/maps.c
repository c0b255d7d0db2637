// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * No program: the maps alone, with the type information from which Go's types are generated.
 */
#include "include/events.h"
#include "include/maps.h"

/* A type that only a comment or a ring buffer names would be missing from the BTF. */
const struct oak_hello *oak_type_hello __attribute__((unused));
const struct oak_stale *oak_type_stale __attribute__((unused));
const struct oak_lost *oak_type_lost __attribute__((unused));
const enum oak_event *oak_type_event __attribute__((unused));
const enum oak_ct_flags *oak_type_ct_flags __attribute__((unused));
const enum oak_tcp_seen *oak_type_tcp_seen __attribute__((unused));
const enum oak_drop *oak_type_drop __attribute__((unused));
const enum oak_stat *oak_type_stat __attribute__((unused));
const enum oak_policy *oak_type_policy __attribute__((unused));
const enum oak_peer_state *oak_type_peer_state __attribute__((unused));
const enum oak_endpoint_flags *oak_type_endpoint_flags __attribute__((unused));
const enum oak_where *oak_type_where __attribute__((unused));
const struct oak_told *oak_type_told __attribute__((unused));
const enum oak_step *oak_type_step __attribute__((unused));
const enum oak_limits *oak_type_limits __attribute__((unused));
const enum oak_family *oak_type_family __attribute__((unused));
const enum oak_ring *oak_type_ring __attribute__((unused));
const enum oak_ct_clock *oak_type_ct_clock __attribute__((unused));
const enum oak_piece *oak_type_piece __attribute__((unused));

char _license[] SEC("license") = "Dual BSD/GPL";
