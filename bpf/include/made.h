/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IP headers of packets that are made here, in scratch, which has room that the stack has not. */
#ifndef OAK_MADE_H
#define OAK_MADE_H

#include "flowmap.h"
#include "rewrite.h"
#include "tunnel.h"

#define OAK_HOPS 64

static __always_inline void oak_made_ip4(struct oak_scratch *s, __be32 src, __be32 dst, __u8 proto, __u8 tos, __u32 len)
{
	struct iphdr *ip = (void *)s->made;

	__builtin_memset(ip, 0, sizeof(*ip));
	*(__u8 *)ip = 0x45;
	ip->tos = tos;
	ip->tot_len = bpf_htons(sizeof(*ip) + len);
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = OAK_HOPS;
	ip->protocol = proto;
	ip->saddr = src;
	ip->daddr = dst;
	oak_ip_checksum(ip);
}

static __always_inline void oak_made_ip6(struct oak_scratch *s, const struct oak_addr *src, const struct oak_addr *dst, __u8 next, __u32 len)
{
	struct ipv6hdr *ip = (void *)s->made;

	__builtin_memset(ip, 0, sizeof(*ip));
	*(__u8 *)ip = 0x60;
	ip->payload_len = bpf_htons(len);
	ip->nexthdr = next;
	ip->hop_limit = OAK_HOPS;
	__builtin_memcpy(&ip->saddr, src, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, dst, sizeof(ip->daddr));
}

/* oak_pseudo is the sum over the pseudo header of a packet of either family. */
static __always_inline __u32 oak_pseudo(const struct oak_addr *src, const struct oak_addr *dst, __u8 proto, __u32 len)
{
	__u64 sum = bpf_htons(proto) + bpf_htons(len);

	if (oak_addr_is4(src))
		return oak_fold(sum + oak_addr_get4(src) + oak_addr_get4(dst));
	return oak_fold(sum + oak_sum_addr(src, dst));
}

#endif
