/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rings of the keys of flows that must not stay for good: what begins, and what has ended. */
#ifndef OAK_RINGTYPES_H
#define OAK_RINGTYPES_H

#include "types.h"

/* Rings of keys, by processor: a flow that enters one takes the place of that which entered it longest ago. */
enum oak_ring {
	OAK_RING_NEW = 0,    /* half-open and one-way; who leaves it that way is forgotten */
	OAK_RING_CLOSED = 1, /* ended; who leaves it is forgotten */
	OAK_RINGS = 2,
};

/* A place in a ring. */
struct oak_ringed {
	struct oak_key key;
	__u32 stamp; /* tells the flow from a later one with the same key: its last_ack as it began; of ended ones, when it was created */
};

#endif
