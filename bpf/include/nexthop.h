/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way out to a peer. The kernel can be asked for the route with each packet, but that takes it as long as all of the encapsulation; so
 * each processor asks for the first neighbour once a second, and leaves the rest to the neighbour's entry.
 */
#ifndef OAK_NEXTHOP_H
#define OAK_NEXTHOP_H

#include "addr.h"
#include "maps.h"

#define OAK_AF_INET 2
#define OAK_AF_INET6 10

/* In 2^20 ns: a route that has changed is noticed after a second. */
#define OAK_NEXTHOP_AGE 954

/* oak_find_nexthop asks the kernel for the first neighbour on the way to a peer. Returns 0 if there is none to be told. */
__attribute__((noinline)) int oak_find_nexthop(struct __sk_buff *skb, __u32 index, __u32 now)
{
	struct oak_nexthop *n = bpf_map_lookup_elem(&nexthops, &index);
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	struct bpf_fib_lookup fib = {};
	long result;

	if (!n || !peer)
		return 0;
	fib.ifindex = peer->ifindex;
	fib.l4_protocol = 17;
	if (peer->family == OAK_V4) {
		fib.family = OAK_AF_INET;
		fib.ipv4_src = oak_addr_get4(&peer->local);
		fib.ipv4_dst = oak_addr_get4(&peer->outer);
	} else {
		fib.family = OAK_AF_INET6;
		__builtin_memcpy(fib.ipv6_src, &peer->local, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &peer->outer, sizeof(fib.ipv6_dst));
	}
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT);
	n->found = now;
	n->family = 0;
	/* That the neighbour is not known yet is no matter: the packet waits for it. */
	if ((result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH) || fib.ifindex != peer->ifindex)
		return 0;
	__builtin_memcpy(n->addr, fib.ipv6_dst, sizeof(n->addr));
	n->family = fib.family;
	return 1;
}

/* oak_leave sends an encapsulated packet out to a peer. Returns a verdict. */
static __always_inline int oak_leave(struct __sk_buff *skb, __u32 ifindex, __u32 index)
{
	struct oak_nexthop *n = bpf_map_lookup_elem(&nexthops, &index);
	__u32 now = bpf_ktime_get_coarse_ns() >> OAK_SEEN_SHIFT;

	if (!n)
		return TC_ACT_SHOT;
	if (now - n->found > OAK_NEXTHOP_AGE)
		oak_find_nexthop(skb, index, now);
	if (!n->family)
		return bpf_redirect_neigh(ifindex, 0, 0, 0);
	return bpf_redirect_neigh(ifindex, (struct bpf_redir_neigh *)n, sizeof(struct bpf_redir_neigh), 0);
}

#endif
