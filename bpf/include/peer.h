/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Other workers: where each is, how it is, and what lives there. */
#ifndef OAK_PEER_H
#define OAK_PEER_H

#include "types.h"

enum oak_peer_state {
	OAK_PEER_FREE = 0,
	OAK_PEER_GREETING = 1, /* known to the cluster, never met: not chosen */
	OAK_PEER_UP = 2,
	OAK_PEER_UNREACHABLE = 3, /* not chosen for new flows */
	/* Never met, and not to be expected to be: not chosen. Both workers are behind NATs, and a NAT that shows a worker at another port
	 * to each other side (symmetric) lets only those in that have been told that port, which nobody else knows. */
	OAK_PEER_BOTH_SYMMETRIC = 4,
	OAK_PEER_ONE_SYMMETRIC = 5,
};

/* Another worker. Key: index; 0 is this worker itself and never used. */
struct oak_peer {
	struct oak_addr outer; /* learned by hello */
	struct oak_addr local; /* our outer address towards it */
	__u32 ifindex;         /* of the uplink towards it */
	__u16 port;            /* of the peer's tunnel; 0: not located */
	__u16 sport;           /* that our packets leave from; 0: the flow's hash decides */
	__u16 mtu;             /* of what the tunnel carries: of the way to it, less the outer headers; 0: unknown, no limit */
	__u16 family;          /* enum oak_family, of outer and local */
	__u32 state;           /* enum oak_peer_state */
	__u8 id[OAK_ID_LEN];
};

/* Where packets of a peer come from. Port 0: from any, which is so unless the peer is behind NAT. */
struct oak_peer_addr {
	struct oak_addr addr;
	__u16 port;
	__u16 pad;
};

/* Which neighbour the way to a peer leads to first. Kept by processor, and for a second. */
struct oak_nexthop {
	__u32 family;  /* AF_INET or AF_INET6; 0: none was found */
	__u32 addr[4]; /* network order; with family as struct bpf_redir_neigh has it */
	__u32 found;   /* in 2^20 ns */
};

/* How far and how alive a peer is. Key: as in peers. */
struct oak_peer_health {
	__u64 sampled; /* when rtt_us was measured last; 0: never */
	__u64 heard;   /* the last packet that was accepted from it, within 100 ms */
	__u64 asked;   /* M: the first echo request since the last round trip; 0: none */
	__u64 sent;    /* M: the last request */
	__u64 nonce;   /* M: of the last request, as its bytes are; 0: it was answered */
	__u32 rtt_us;  /* round trip, smoothed as RFC 6298 does */
	__u32 var_us;
};

/* What a router on the way to a peer has said that it carries. Key: as in peers. It holds between the addresses that it was said of, so that
 * nobody has to clear it when either end moves, or the index becomes another worker's. */
struct oak_path {
	struct oak_addr outer; /* the peer's */
	struct oak_addr local; /* ours */
	__u64 learned;
	__u64 until; /* then it is forgotten, and found out anew by use */
	__u32 mtu;   /* of what the tunnel carries, as in struct oak_peer; 0: nothing was ever said */
	__u32 pad;
};

struct oak_peer_stats {
	__u64 tx_packets;
	__u64 tx_bytes;
	__u64 rx_packets;
	__u64 rx_bytes;
};

/* Where an Instance IP of another worker lives. Key: struct oak_addr. */
struct oak_source {
	__u64 generation;
	__u32 peer;
	__u32 pad;
};

#endif
