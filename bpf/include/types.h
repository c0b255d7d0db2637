/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys and values of every map. They are defined here once; Go uses the types that bpf2go generates from them.
 *
 * Addresses are always 16 bytes, IPv4 as ::ffff:a.b.c.d, so that one map serves both families. Integers are in the
 * processor's order unless a name or comment says network order (be). Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef OAK_TYPES_H
#define OAK_TYPES_H

#include <linux/types.h>

#define OAK_ID_LEN 12 /* ids of workers and services: 24 hexadecimal digits */

enum oak_limits {
	OAK_MAX_BACKENDS_PER_SERVICE = 64, /* a worker is told of no more a policy */
	OAK_MAX_SERVICES = 12288,
	OAK_MAX_BACKENDS = 114688,
	OAK_MAX_ADDRESSES = 262144, /* allocated as needed, like all hashes but the LRU ones */
	OAK_MAX_PEERS = 4096,
	OAK_MAX_SOURCES = 65536,
	OAK_MAX_ENDPOINTS = 1024,
	OAK_MAX_PENDING = 1024,
	OAK_MAX_FLOWS4 = 524288,    /* entries, two a flow; allocated as needed */
	OAK_MAX_FLOWS6 = 262144,
	OAK_SHARE4 = OAK_MAX_FLOWS4 / 2 / 8, /* established flows of an endpoint, unless configured */
	OAK_SHARE6 = OAK_MAX_FLOWS6 / 2 / 8,
	OAK_RING = 4096,            /* flows a processor, at most, that have not begun yet, and that have ended: power of two */
	OAK_MAX_EXPOSED = 16384,
	OAK_MAX_OWN = 256,          /* addresses of the uplink */
	OAK_MAX_FRAGMENTS = 4096,   /* datagrams under way in pieces; LRU */
	OAK_HELLO_MAX = 256,
	OAK_SILENCE_MS = 10000, /* a peer that leaves echoes unanswered for this long is passed over */
	OAK_UNASKED_MS = 5000,  /* NetManager repeats such an echo every second or so; if it does not for this long, it is away */
	OAK_QUOTE = 128,            /* bytes of a packet that an ICMP error quotes at most; a power of two */
	OAK_MADE = 48 + OAK_QUOTE,  /* with the headers of IPv6 and ICMP */
	OAK_TRACE_ADDRESSES = 16,
};

struct oak_addr {
	__u8 b[16];
} __attribute__((aligned(4)));

struct oak_prefix {
	struct oak_addr addr;
	struct oak_addr mask;
};

/* What may change while programs run. One entry. */
struct oak_config {
	struct oak_prefix services4;
	struct oak_prefix services6;
	struct oak_prefix workers4;
	struct oak_prefix workers6;
	struct oak_addr gateway4;
	struct oak_addr gateway6;
	__u32 upcall_ifindex; /* oak-up0; 0: no upcalls */
	__u16 tunnel_port;
	__u16 mtu; /* of containers */
	__u32 flow_share[2]; /* established flows of an endpoint by enum oak_family; 0: OAK_SHARE4 and OAK_SHARE6 */
};

enum oak_family {
	OAK_V4 = 0,
	OAK_V6 = 1,
	OAK_FAMILIES = 2,
};

enum oak_endpoint_flags {
	OAK_ENDPOINT_HOST = 1 << 0, /* the worker itself: the far end of oak-host */
};

/* A local instance. Key: ifindex of the host side of its veth. */
struct oak_endpoint {
	struct oak_addr ns[2];   /* namespace addresses by enum oak_family; zero: none */
	struct oak_addr inst[2]; /* Instance IPs by family */
	__u64 generation;
	__u32 ifindex;
	__u32 tag;    /* VNI of all its flows that others open */
	__u32 number; /* of the instance */
	__u8 service[OAK_ID_LEN];
	__u8 mac[6];      /* inside */
	__u8 host_mac[6]; /* of the host side */
	__u32 flags;      /* enum oak_endpoint_flags */
};

enum oak_policy {
	OAK_POLICY_NONE = 0, /* nobody has this address: remembered refusal */
	OAK_POLICY_RR = 1,
	OAK_POLICY_CLOSEST = 2,
	OAK_POLICY_UNDERUTILIZED = 3,
	OAK_POLICY_INSTANCE = 4,
};

/* What a service address or Instance IP stands for. Key: struct oak_addr. */
struct oak_vip {
	__u32 service; /* index in services */
	__u32 backend; /* index in backends, for OAK_POLICY_INSTANCE */
	__u32 policy;  /* enum oak_policy */
	__u32 pad;
};

/* A service and its usable instances. Key: index; 0 is never used. */
struct oak_service {
	__u32 count;
	__u8 id[OAK_ID_LEN];
	__u32 backends[OAK_MAX_BACKENDS_PER_SERVICE]; /* indices in backends */
};

/* One instance as a target. Key: index; 0 is never used. */
struct oak_backend {
	__u64 generation; /* 0: free slot */
	__u32 service;
	__u32 number;
	__u32 peer;    /* 0: on this worker */
	__u32 ifindex; /* of the endpoint, if on this worker */
	__u32 tag;
	__u16 slot;     /* counts the owners of this index: what a flow remembers of the generation */
	__u16 distance; /* to its worker in kilometres; 0xffff: unknown */
	__be32 ns4;
	__be32 inst4;
	struct oak_addr ns6;
	struct oak_addr inst6;
	__u16 load; /* as reported, 0 to 1000; 0xffff: unknown */
	__u16 pad[3];
};

/* Flows of this worker to an instance. Key: as in backends. */
struct oak_load {
	__u32 active; /* open now */
	__u32 lately; /* that underutilized has given it, and when that was noted: see policy.h */
};

/* A port of the worker's own addresses. */
struct oak_port {
	__u16 port;
	__u8 proto;
	__u8 pad;
};

/* The local instance behind an exposed port. */
struct oak_exposed {
	__u32 ifindex; /* of the endpoint */
	__u32 uplink;  /* interface that callers outside are behind */
	__be16 port;   /* inside the container */
	__u16 pad;
};

/* How many established flows an endpoint has, by enum oak_family. Key: ifindex, as in endpoints. */
struct oak_share {
	__u32 flows[2];
};

/* Where a packet came from, the lower 24 bits of a flow key's zone: an interface's index, or a peer's. */
enum oak_where {
	OAK_FROM_OUTSIDE = 0,     /* an uplink, not out of the tunnel */
	OAK_FROM_PEER = 1 << 23,  /* | index in peers */
	OAK_WHERE_MASK = (1 << 24) - 1,
};

/* A flow, as its packets arrive. ICMP echo: the identifier is the requester's port, 0x0800 the other's. The zone is part of the key,
 * so that nobody's packet is taken for another's: protocol << 24 | enum oak_where. */
struct oak_tuple {
	struct oak_addr src;
	struct oak_addr dst;
	__be16 sport;
	__be16 dport;
};

struct oak_key {
	struct oak_addr src;
	struct oak_addr dst;
	__be16 sport;
	__be16 dport;
	__u32 zone;
};

struct oak_tuple4 {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
};

struct oak_key4 {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u32 zone;
};

enum oak_ct_flags {
	OAK_CT_REWRITE = 1 << 0, /* addresses and ports change here */
	OAK_CT_REPLY = 1 << 1,   /* towards the flow's opener */
	OAK_CT_TUNNEL = 1 << 2,  /* goes out to a peer; else to a local endpoint */
	OAK_CT_REMOTE = 1 << 3,  /* its packets arrive from a peer */
	OAK_CT_HELD = 1 << 4,    /* opened while packets of its service were held: order first */
	OAK_CT_ESTABLISHED = 1 << 5, /* both sides have taken part: no flood of others takes its place */
	OAK_CT_PLAIN = 1 << 6,   /* delivered by way of the interface that the programs are on: to the worker itself */
	OAK_CT_DEAD = 1 << 7,    /* its instance is gone: answered with resets */
	OAK_CT_OUT = 1 << 8,     /* goes out by the uplink as it is: an answer of an exposed port */
	OAK_CT_CLOSED = 1 << 9,  /* TCP has ended it */
};

enum oak_ct_clock {
	OAK_CREATED_SHIFT = 30,
	OAK_SEEN_SHIFT = 20,
};

enum oak_tcp_seen {
	OAK_TCP_SYN = 1 << 0,
	OAK_TCP_FIN = 1 << 1,
	OAK_TCP_RST = 1 << 2,
	OAK_TCP_ACK = 1 << 3,
};

/* One direction of a flow, but for its translation. The other direction's key is the mirror of that, in the zone where its packets
 * come from. Sized so that an IPv4 entry with its key and what the kernel adds is 128 bytes. */
struct oak_ct {
	__u64 packets;
	__u64 bytes;
	__u16 flags;      /* enum oak_ct_flags */
	__u16 generation; /* of the backend's slot when it was chosen */
	__u32 to;         /* index of the peer that it goes to, or of the interface of the local endpoint */
	__u8 tag[3];      /* network order */
	__u8 seen;        /* enum oak_tcp_seen, of this direction */
	__u32 backend;    /* chosen by this worker; 0 where another chose */
	__u32 created;    /* in 2^30 ns, a little over a second: what needs no division */
	__u32 last_seen;  /* in 2^20 ns, a little over a millisecond */
};

struct oak_ct4 {
	struct oak_tuple4 t; /* after translation */
	__u32 last_ack;      /* of TCP, network order; of a SYN the microsecond that it was sent */
	struct oak_ct c;
};

struct oak_ct6 {
	struct oak_tuple t;
	__u32 last_ack;
	struct oak_ct c;
};

enum oak_piece {
	OAK_WHOLE = 0,
	OAK_FIRST_PIECE = 1, /* has the ports */
	OAK_LATER_PIECE = 2,
};

/* What is found out about a packet. */
struct oak_pkt {
	struct oak_key key;   /* of IPv4 only after oak_widen */
	struct oak_key4 key4; /* of IPv4 only */
	__u32 where;  /* enum oak_where */
	__u32 l3;     /* offset of the IP header */
	__u32 l4;     /* offset of the transport header */
	__u32 l4_len; /* that the IP header leaves for it and its payload */
	__u32 ack;    /* TCP, network order */
	__u32 id;     /* of the datagram that this is a piece of */
	__u32 quoted; /* an ICMP error: offset of the IP header that it quotes; the key is that of the flow's direction that it goes in */
	__u32 quoted_l4;
	__u8 family;   /* enum oak_family */
	__u8 proto;
	__u8 tcp;      /* enum oak_tcp_seen of this packet */
	__u8 may_open; /* TCP SYN, any UDP, echo request */
	__u8 replaces; /* it opens a flow on the key of an old one */
	__u8 piece;    /* enum oak_piece */
	__u8 tos;      /* DSCP and ECN */
	__u8 l4_head;  /* bytes of the transport's header */
	__u32 followed; /* by somebody who traces: a number of its own; else 0 */
};

/* What the card's program says of a packet that it has taken the outer headers off. Packets of one flow have the same, for the kernel
 * coalesces only those whose metadata agree. */
struct oak_card {
	__u32 magic;
	__u32 ifindex; /* of the card */
	__u32 peer;    /* index; whose address was the outer source */
	__u32 tag;
	__u8 tos;      /* outer */
	__u8 outer;    /* enum oak_family */
	__u16 zero;
};

/* Room for the two directions of a flow that is being opened. IPv4 becomes small on its way into the map. */
struct oak_scratch {
	struct oak_key fwd_key;
	struct oak_key rev_key;
	struct oak_ct6 fwd;
	struct oak_ct6 rev;
	struct oak_key saved_fwd; /* while fwd_key and rev_key are another flow's */
	struct oak_key saved_rev;
	struct oak_ct4 small; /* on its way into a map */
	struct oak_key4 small_key;
	__u8 made[OAK_MADE] __attribute__((aligned(8))); /* of an answer: its headers, and what it quotes */
	struct oak_card card; /* from oak_card_in to oak_uplink_in */
};

/* The ports of a datagram that comes in pieces. */
struct oak_fragment_key {
	struct oak_addr src;
	struct oak_addr dst;
	__u32 id;
	__u32 zone;
};

struct oak_fragment {
	__be16 sport;
	__be16 dport;
	__u8 may_open;
	__u8 proto;
	__u16 pad;
};

/* A service address whose first packets are held by NetManager. Key: struct oak_addr. */
struct oak_pending {
	__u64 first;
	__u64 last_up;
	__u64 last_down;
	__u64 up;   /* packets handed to NetManager */
	__u64 down; /* packets that came back */
};

/* Until when packets that no flow has are left to the programs of a former build: those that open a flow, and others. One entry. */
struct oak_takeover {
	__u64 openers;
	__u64 others;
};

struct oak_counter {
	__u64 packets;
	__u64 bytes;
};

/* Counters of packets that are no drops. */
enum oak_stat {
	OAK_STAT_FROM_CONTAINER = 0, /* out of containers, whatever becomes of them */
	OAK_STAT_FROM_TUNNEL = 1,    /* on the tunnel's port, whatever becomes of them */
	OAK_STAT_TO_LOCAL = 2,
	OAK_STAT_TO_TUNNEL = 3,
	OAK_STAT_UPCALL = 4,
	OAK_STAT_REINJECTED = 5,
	OAK_STAT_HELLO = 6,
	OAK_STAT_TO_STACK = 7, /* out of containers, not for the overlay */
	OAK_STAT_FROM_OUTSIDE = 8, /* of flows to exposed ports, on the uplink */
	OAK_STAT_TO_OUTSIDE = 9,   /* their answers */
	OAK_STAT_ECHO = 10,        /* requests answered, and answers taken */
	OAK_STAT_ANSWERED = 11,    /* of the dropped ones: whose sender was told */
	OAK_STAT_FORMER = 12,      /* left to the programs of the former build, while its maps are taken over */
	OAK_STAT_PATH_LOWERED = 13, /* to the host: what routers say of the way to a peer, believed */
	OAK_STAT_PATH_REFUSED = 14, /* and not */
	OAK_STAT_BY_CARD = 15,     /* of those from the tunnel: whose outer headers the card's program has taken off */
	OAK_STAT_MAX = 16,
};

/* Why a packet was dropped. Names are cut from these: OAK_DROP_SPOOFED_SOURCE is "spoofed_source". */
enum oak_drop {
	OAK_DROP_NONE = 0,
	OAK_DROP_MALFORMED,        /* a header is cut short or contradicts itself */
	OAK_DROP_NOT_IP,           /* out of a container: neither IPv4 nor IPv6 */
	OAK_DROP_FRAGMENT,         /* a later piece of a datagram whose first was not seen */
	OAK_DROP_PROTOCOL,         /* neither TCP, UDP nor ICMP echo */
	OAK_DROP_SPOOFED_SOURCE,   /* out of a container: not its own address, or made to look like this worker's tunnel */
	OAK_DROP_NO_ENDPOINT,      /* out of an interface that is no endpoint, or to an address that is none */
	OAK_DROP_NAMESPACE_IP,     /* out of a container, straight to a namespace IP */
	OAK_DROP_NO_SERVICE,       /* nobody has the service address */
	OAK_DROP_NO_BACKEND,       /* the service has no usable instance */
	OAK_DROP_BACKEND_GONE,     /* the flow's instance is gone */
	OAK_DROP_UNRESOLVED,       /* came back from NetManager and is still unknown */
	OAK_DROP_NO_MANAGER,       /* unknown, and NetManager is away */
	OAK_DROP_UPCALL_FULL,      /* too many packets held */
	OAK_DROP_UPCALL_RATE,      /* too many new misses of one container */
	OAK_DROP_PORT_EXHAUSTED,   /* no free port for the reply key */
	OAK_DROP_CONNTRACK_FULL,
	OAK_DROP_NO_FLOW,          /* belongs to no flow and may not open one */
	OAK_DROP_PEER_DOWN,        /* peer has no address yet */
	OAK_DROP_ENCAP_FAILED,
	OAK_DROP_DECAP_FAILED,
	OAK_DROP_REWRITE_FAILED,
	OAK_DROP_BAD_HEADER,       /* tunnel: not the VXLAN-GPE header of this protocol */
	OAK_DROP_UNKNOWN_PEER,     /* tunnel: from an address that is no peer's */
	OAK_DROP_BAD_TAG,          /* tunnel: not the endpoint's or flow's tag */
	OAK_DROP_BAD_SOURCE,       /* tunnel: the source does not live at that peer */
	OAK_DROP_STALE_ROUTE,      /* tunnel: the destination is not here */
	OAK_DROP_OVERLAY_ON_UPLINK, /* unencapsulated overlay address on the uplink */
	OAK_DROP_TUNNEL_DEVICE,    /* reached the tunnel's kernel device, which never delivers */
	OAK_DROP_OUTER_FRAGMENT,
	OAK_DROP_HELLO_FULL,       /* more hello packets than NetManager is to deal with */
	OAK_DROP_BROADCAST,        /* out of a container: to everybody or to a group */
	OAK_DROP_TOO_BIG,          /* larger than the way to the peer carries */
	OAK_DROP_CONGESTED,        /* tunnel: marked as congested on its way, and of a flow that cannot be told (RFC 6040) */
	OAK_DROP_NEIGHBOUR,        /* out of a container: neighbour and router discovery, which has nobody to talk to */
	OAK_DROP_ECHO,             /* an echo that nobody asked for, or too many */
	OAK_DROP_FLOW_SHARE,       /* its container has as many flows as it may */
	OAK_DROP_MAX,
};

#endif
