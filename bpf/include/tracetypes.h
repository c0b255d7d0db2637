/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys and values of the maps by which packets are traced. */
#ifndef OAK_TRACETYPES_H
#define OAK_TRACETYPES_H

#include "types.h"

/* What is to be traced. An empty list and 0 take all; a packet passes as the opener's or as the answer. */
struct oak_trace {
	__u64 until;  /* 0: off */
	__u64 lost;   /* events that found no room */
	__u32 sample; /* one packet of so many */
	__u16 froms;  /* used of from */
	__u16 tos;
	__be16 port[2]; /* of the opener, and the other */
	__u8 proto;
	__u8 pad[3];
	struct oak_addr from[OAK_TRACE_ADDRESSES];
	struct oak_addr to[OAK_TRACE_ADDRESSES];
};

/* What can be told of a packet, in this order as a rule. */
enum oak_step {
	OAK_STEP_CONTAINER = 1, /* came out of a container */
	OAK_STEP_TUNNEL = 2,    /* came from a peer; its outer headers are off */
	OAK_STEP_BACK = 3,      /* came back from NetManager */
	OAK_STEP_OUTSIDE = 4,   /* came by the uplink as it is */
	OAK_STEP_SERVICE = 5,   /* for a service's address: index, enum oak_policy */
	OAK_STEP_BACKEND = 6,   /* an instance was chosen: index */
	OAK_STEP_OPENED = 7,    /* its flow was opened */
	OAK_STEP_FLOW = 8,      /* goes as its flow does: enum oak_ct_flags, index of the backend */
	OAK_STEP_CARD = 9,      /* came from a peer; the card's program has taken its outer headers off */
	OAK_STEP_LAST = 16,     /* what is from here on ends it */
	OAK_STEP_LOCAL = 16,    /* delivered: ifindex */
	OAK_STEP_PEER = 17,     /* encapsulated: index of the peer, ifindex of the uplink */
	OAK_STEP_STACK = 18,    /* left to the host's stack */
	OAK_STEP_UPCALL = 19,   /* handed to NetManager */
	OAK_STEP_DROP = 20,     /* enum oak_drop */
	OAK_STEP_OUT = 21,      /* sent outside as it is: ifindex of the uplink */
};

struct oak_told {
	__u64 at;
	__u32 packet; /* a number that all its events have */
	__u32 ifindex; /* of the interface that the program is on */
	__u32 where;   /* enum oak_where */
	__u32 step;    /* enum oak_step */
	__u32 a;
	__u32 b;
	__u32 len;
	__u8 family; /* enum oak_family */
	__u8 proto;
	__u8 tcp;   /* enum oak_tcp_seen */
	__u8 piece; /* enum oak_piece */
	__be16 sport;
	__be16 dport;
	struct oak_addr src;
	struct oak_addr dst;
	__u32 pad;
};

#endif
