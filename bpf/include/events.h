/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs tell NetManager, through the ring buffer events. */
#ifndef OAK_EVENTS_H
#define OAK_EVENTS_H

#include "types.h"

/* What NetManager gets in events begins with its kind. */
enum oak_event {
	OAK_EVENT_HELLO = 1,
	OAK_EVENT_STALE = 2,
	OAK_EVENT_LOST = 3,
};

/* A hello packet on its way to NetManager, in events. */
struct oak_hello {
	__u32 kind;
	struct oak_addr src;
	struct oak_addr dst;
	__u16 sport;
	__u16 len; /* bytes of data used */
	__u32 ifindex;
	__u8 data[OAK_HELLO_MAX];
};

/* A packet of a peer to where nobody is, in events. */
struct oak_stale {
	__u32 kind;
	__u32 peer;
	__u32 tag;
	struct oak_addr dst;
};

/* A reset for a peer that the program could not make of the packet that it answers, in events. */
struct oak_lost {
	__u32 kind;
	__u32 peer;
	__u32 tag;
	struct oak_addr src;
	struct oak_addr dst;
	__be16 sport;
	__be16 dport;
	__be32 seq;
	__be32 ack;
	__u32 flags;
};

#endif
