/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rewriting: addresses and ports of an IPv4 packet, with checksums updated by difference (RFC 1624). */
#ifndef OAK_REWRITE_H
#define OAK_REWRITE_H

#include <stddef.h>

#include "parse.h"

/* oak_fold brings a sum of 16-bit words down to 32 bits, which is what the checksum helpers take. */
static __always_inline __u32 oak_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum;
}

static __always_inline __u16 oak_fold16(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline int oak_rewrite_icmp(struct __sk_buff *skb, __u32 l4, __be16 from, __be16 to)
{
	__u32 check = l4 + offsetof(struct oak_icmp_echo, check);

	if (bpf_l4_csum_replace(skb, check, from, to, 2))
		return OAK_DROP_REWRITE_FAILED;
	if (bpf_skb_store_bytes(skb, l4 + offsetof(struct oak_icmp_echo, id), &to, 2, 0))
		return OAK_DROP_REWRITE_FAILED;
	return 0;
}

static __always_inline int oak_rewrite_ports(struct __sk_buff *skb, const struct oak_pkt *p, __u32 check, __u64 flags,
					     const struct oak_ct *to)
{
	__be16 ports[2] = {to->sport, to->dport};

	/* The helper leaves the checksum alone where a network card will make it (CHECKSUM_PARTIAL). */
	if (bpf_l4_csum_replace(skb, check, p->key.sport, to->sport, flags | 2) ||
	    bpf_l4_csum_replace(skb, check, p->key.dport, to->dport, flags | 2) ||
	    bpf_skb_store_bytes(skb, p->l4, ports, sizeof(ports), 0))
		return OAK_DROP_REWRITE_FAILED;
	return 0;
}

/* oak_rewrite4 gives the packet, its IP header right behind the Ethernet header, the addresses and ports of to. Packet pointers are stale afterwards. Returns a drop reason, or 0. */
static __always_inline int oak_rewrite4(struct __sk_buff *skb, const struct oak_pkt *p, const struct oak_ct *to)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__be32 src = oak_addr_get4(&to->src), dst = oak_addr_get4(&to->dst);
	__u32 diff, check;
	__u64 flags = 0;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	diff = oak_fold((__u64)(__u32)~ip->saddr + src + (__u32)~ip->daddr + dst);
	ip->saddr = src;
	ip->daddr = dst;
	ip->check = ~oak_fold16((__u32)(__u16)~ip->check + oak_fold16(diff));

	switch (p->key.proto) {
	case IPPROTO_TCP:
		check = p->l4 + offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		check = p->l4 + offsetof(struct udphdr, check);
		flags = BPF_F_MARK_MANGLED_0; /* 0 stays "no checksum", and never becomes it */
		break;
	default:
		if (p->key.sport != to->sport)
			return oak_rewrite_icmp(skb, p->l4, p->key.sport, to->sport);
		if (p->key.dport != to->dport)
			return oak_rewrite_icmp(skb, p->l4, p->key.dport, to->dport);
		return 0;
	}
	if (bpf_l4_csum_replace(skb, check, 0, diff, flags | BPF_F_PSEUDO_HDR))
		return OAK_DROP_REWRITE_FAILED;
	if (p->key.sport != to->sport || p->key.dport != to->dport)
		return oak_rewrite_ports(skb, p, check, flags, to);
	return 0;
}

#endif
