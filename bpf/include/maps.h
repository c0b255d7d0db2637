/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps, shared by name through their pins. Each says who writes it: P the programs, M NetManager.
 */
#ifndef OAK_MAPS_H
#define OAK_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "peer.h"
#include "ringtypes.h"
#include "tracetypes.h"
#include "types.h"

#define OAK_MAP(map_type, key_t, value_t, entries, flags)                                                              \
	struct {                                                                                                       \
		__uint(type, map_type);                                                                                \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, flags);                                                                              \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                                                   \
		__type(key, key_t);                                                                                    \
		__type(value, value_t);                                                                                \
	}

#define OAK_LAZY 1U /* BPF_F_NO_PREALLOC: memory as entries come */

/* M: what may change while programs run. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_config, 1, 0) config SEC(".maps");
/* M: when NetManager last was alive, every half second. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, __u64, 1, 0) heartbeat SEC(".maps");
/* M: while the maps of a former build are taken over, what is its programs'. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_takeover, 1, 0) takeover SEC(".maps");
/* M: local instances by the ifindex of their veth's host side. */
OAK_MAP(BPF_MAP_TYPE_HASH, __u32, struct oak_endpoint, OAK_MAX_ENDPOINTS, OAK_LAZY) endpoints SEC(".maps");
/* M: namespace address → ifindex in endpoints. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_addr, __u32, OAK_MAX_ENDPOINTS * 2, OAK_LAZY) local SEC(".maps");
/* M: other workers by index. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_peer, OAK_MAX_PEERS, 0) peers SEC(".maps");
/* M: outer address and port → index in peers; only of peers that were met, some of which have several. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_peer_addr, __u32, OAK_MAX_PEERS * 4, OAK_LAZY) peer_addrs SEC(".maps");
/* P, M asks: round trips and signs of life, by index in peers. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_peer_health, OAK_MAX_PEERS, 0) peer_health SEC(".maps");
/* P: what routers have said that the way to each peer carries, less than its interface does. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_path, OAK_MAX_PEERS, 0) paths SEC(".maps");
/* P: the first neighbour on the way to each peer. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_nexthop, OAK_MAX_PEERS, 0) nexthops SEC(".maps");
/* P: traffic by peer. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_peer_stats, OAK_MAX_PEERS, 0) peer_stats SEC(".maps");
/* M: Instance IPs of other workers. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_addr, struct oak_source, OAK_MAX_SOURCES, OAK_LAZY) sources SEC(".maps");
/* M: service addresses and Instance IPs. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_addr, struct oak_vip, OAK_MAX_ADDRESSES, OAK_LAZY) vips SEC(".maps");
/* M: services by index. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_service, OAK_MAX_SERVICES, 0) services SEC(".maps");
/* P: round robin's next, by service index. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, __u32, OAK_MAX_SERVICES, 0) cursors SEC(".maps");
/* M: instances as targets, by index. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_backend, OAK_MAX_BACKENDS, 0) backends SEC(".maps");
/* P counts, M corrects: the flows that each instance has, by index in backends. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_load, OAK_MAX_BACKENDS, 0) loads SEC(".maps");
/* P, M purges: flows. By family, since keys and values of IPv4 are less than half as large. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_key4, struct oak_ct4, OAK_MAX_FLOWS4, OAK_LAZY) flows4 SEC(".maps");
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_key, struct oak_ct6, OAK_MAX_FLOWS6, OAK_LAZY) flows6 SEC(".maps");
/* P counts, M sets: established flows by endpoint. */
OAK_MAP(BPF_MAP_TYPE_HASH, __u32, struct oak_share, OAK_MAX_ENDPOINTS, OAK_LAZY) shares SEC(".maps");
/* P: the openers' keys of flows that must not stay for good, OAK_RING of each enum oak_ring; and where each goes on. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_ringed, OAK_RING * OAK_RINGS, 0) rings SEC(".maps");
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u32, OAK_RINGS, 0) ring_at SEC(".maps");
/* M: exposed ports, and the addresses that they are exposed on. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_port, struct oak_exposed, OAK_MAX_EXPOSED, OAK_LAZY) exposed SEC(".maps");
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_addr, __u32, OAK_MAX_OWN, OAK_LAZY) own_addrs SEC(".maps");
/* P: ports of datagrams in pieces. */
OAK_MAP(BPF_MAP_TYPE_LRU_HASH, struct oak_fragment_key, struct oak_fragment, OAK_MAX_FRAGMENTS, 0) fragments SEC(".maps");
/* P, M settles: service addresses whose first packets are held. */
OAK_MAP(BPF_MAP_TYPE_HASH, struct oak_addr, struct oak_pending, OAK_MAX_PENDING, OAK_LAZY) pending SEC(".maps");
/* P: tokens for what NetManager has to look at, by who causes it (rate.h); value: tokens << 32 | last refill in ms. */
OAK_MAP(BPF_MAP_TYPE_LRU_HASH, __u32, __u64, OAK_MAX_ENDPOINTS, 0) miss_rate SEC(".maps");
/* P: dropped packets by enum oak_drop. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_counter, OAK_DROP_MAX, 0) drops SEC(".maps");
/* P: other packets by enum oak_stat. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_counter, OAK_STAT_MAX, 0) stats SEC(".maps");

/* P: where a flow's two entries are made, since they do not fit the stack. A program on one processor is never interrupted by
 * another of its kind: all of them run in softirq context. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_scratch, 1, 0) scratch SEC(".maps");

/* P: what the program on this processor has found out about its packet. */
OAK_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct oak_pkt, 1, 0) packet SEC(".maps");

/* Whoever traces: what is to be traced. */
OAK_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct oak_trace, 1, 0) trace SEC(".maps");
/* P → whoever traces: struct oak_told. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} traces SEC(".maps");

/* P → M: hello packets. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

#endif
