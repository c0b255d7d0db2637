/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rewriting: addresses and ports of a packet, with checksums updated by difference (RFC 1624). */
#ifndef OAK_REWRITE_H
#define OAK_REWRITE_H

#include "parse.h"

/* oak_fold brings a sum of 32-bit words down to 32 bits, which is what the checksum helpers take. */
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

/* oak_rewrite4 gives the IPv4 header behind the Ethernet header new addresses and notes by how much the sum over them changes. */
static __always_inline int oak_rewrite4(struct __sk_buff *skb, __be32 src, __be32 dst, __u32 *diff)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	*diff = oak_fold((__u64)(__u32)~ip->saddr + src + (__u32)~ip->daddr + dst);
	ip->saddr = src;
	ip->daddr = dst;
	ip->check = ~oak_fold16((__u32)(__u16)~ip->check + oak_fold16(*diff));
	return 0;
}

static __always_inline int oak_rewrite6(struct __sk_buff *skb, const struct oak_addr *src, const struct oak_addr *dst, __u32 *diff)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u64 sum = 0;
	__u32 *at;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	at = (__u32 *)&ip->saddr;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		sum += (__u64)(__u32)~at[i] + oak_word(src, i) + (__u32)~at[4 + i] + oak_word(dst, i);
		at[i] = oak_word(src, i);
		at[4 + i] = oak_word(dst, i);
		/* Word by word: the compiler would read all of them first, for which it has no registers. */
		asm volatile("" : "+r"(sum) : : "memory");
	}
	*diff = oak_fold(sum);
	return 0;
}

/* oak_keep_complete takes back what a helper has done to the sum that a card has made over the whole packet (CHECKSUM_COMPLETE). It takes
 * for granted that the IP header's checksum changes against the addresses; IPv6 has none, and there the transport's alone makes up for
 * them. Of packets without such a sum it changes nothing. */
static __always_inline void oak_keep_complete(struct __sk_buff *skb, __u32 diff)
{
	bpf_csum_update(skb, diff);
}

/* oak_rewrite_ports writes the ports and, of an echo, the identifier. */
static __always_inline int oak_rewrite_ports(struct __sk_buff *skb, const struct oak_pkt *p, __u32 check, __u64 flags, __be16 sport,
					     __be16 dport, __be16 new_sport, __be16 new_dport)
{
	__be16 ports[2] = {new_sport, new_dport};

	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP) {
		/* The identifier is what changes: the other side's constant does not, and may equal it. */
		__be16 from = sport != new_sport ? sport : dport, to = sport != new_sport ? new_sport : new_dport;

		if (bpf_l4_csum_replace(skb, check, from, to, 2) ||
		    bpf_skb_store_bytes(skb, p->l4 + offsetof(struct oak_icmp, id), &to, sizeof(to), 0))
			return OAK_DROP_REWRITE_FAILED;
		return 0;
	}
	/* The helper leaves the checksum alone where a network card will make it (CHECKSUM_PARTIAL). */
	if (bpf_l4_csum_replace(skb, check, sport, new_sport, flags | 2) || bpf_l4_csum_replace(skb, check, dport, new_dport, flags | 2) ||
	    bpf_skb_store_bytes(skb, p->l4, ports, sizeof(ports), 0))
		return OAK_DROP_REWRITE_FAILED;
	return 0;
}

/* oak_rewrite gives the packet, its IP header right behind the Ethernet header, the addresses and ports of to, a struct oak_tuple4 or
 * oak_tuple by family. Packet pointers are stale afterwards. Returns a drop reason, or 0. */
static __always_inline int oak_rewrite(struct __sk_buff *skb, struct oak_pkt *p, const void *to, const int family)
{
	const struct oak_tuple4 *t4 = to;
	const struct oak_tuple *t6 = to;
	__be16 sport = family == OAK_V4 ? p->key4.sport : p->key.sport, dport = family == OAK_V4 ? p->key4.dport : p->key.dport;
	__be16 new_sport = family == OAK_V4 ? t4->sport : t6->sport, new_dport = family == OAK_V4 ? t4->dport : t6->dport;
	__u32 diff = 0, check;
	__u64 flags = 0;
	int reason;

	reason = family == OAK_V4 ? oak_rewrite4(skb, t4->src, t4->dst, &diff) : oak_rewrite6(skb, &t6->src, &t6->dst, &diff);
	if (reason || p->piece == OAK_LATER_PIECE)
		return reason;
	switch (p->proto) {
	case IPPROTO_TCP:
		check = p->l4 + offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		check = p->l4 + offsetof(struct udphdr, check);
		flags = BPF_F_MARK_MANGLED_0; /* 0 stays "no checksum", and never becomes it */
		break;
	default:
		check = p->l4 + offsetof(struct oak_icmp, check);
	}
	/* ICMP's checksum leaves the addresses out, ICMPv6's does not. */
	if ((family == OAK_V6 || p->proto != IPPROTO_ICMP) && bpf_l4_csum_replace(skb, check, 0, diff, flags | BPF_F_PSEUDO_HDR))
		return OAK_DROP_REWRITE_FAILED;
	if (family == OAK_V6)
		oak_keep_complete(skb, diff);
	if (sport != new_sport || dport != new_dport)
		return oak_rewrite_ports(skb, p, check, flags, sport, dport, new_sport, new_dport);
	return 0;
}

static __always_inline __u32 oak_sum_addr(const struct oak_addr *a, const struct oak_addr *b)
{
	return oak_fold((__u64)oak_word(a, 0) + oak_word(a, 1) + oak_word(a, 2) + oak_word(a, 3) + oak_word(b, 0) + oak_word(b, 1) +
			oak_word(b, 2) + oak_word(b, 3));
}

/* oak_rewrite_quoted translates an ICMP error for the flow's direction that it goes in: it comes from to's source, goes to its
 * destination, and quotes what that has sent. Returns a drop reason, or 0. */
__attribute__((noinline)) int oak_rewrite_quoted(struct __sk_buff *skb, struct oak_pkt *p, struct oak_tuple *to)
{
	__u32 check, quoted, quoted_l4, diff, is_echo;
	__be16 ports[2], old[2];
	int v4;

	if (!p || !to)
		return OAK_DROP_REWRITE_FAILED;
	v4 = p->family == OAK_V4;
	check = p->l4 + offsetof(struct oak_icmp, check);
	quoted = p->quoted;
	quoted_l4 = p->quoted_l4;
	ports[0] = to->dport; /* who gets it had sent the other way */
	ports[1] = to->sport;
	old[0] = p->key.dport;
	old[1] = p->key.sport;
	if (v4) {
		__be32 addrs[2] = {oak_addr_get4(&to->src), oak_addr_get4(&to->dst)}, was[2];

		/* The quoted header and its own checksum add up to nothing: ICMP's need not change. */
		if (bpf_skb_load_bytes(skb, p->l3 + offsetof(struct iphdr, saddr), was, sizeof(was)))
			return OAK_DROP_REWRITE_FAILED;
		diff = oak_fold((__u64)(__u32)~was[0] + addrs[0] + (__u32)~was[1] + addrs[1]);
		if (bpf_l3_csum_replace(skb, p->l3 + offsetof(struct iphdr, check), 0, diff, 0) ||
		    bpf_skb_store_bytes(skb, p->l3 + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0))
			return OAK_DROP_REWRITE_FAILED;
		addrs[0] = oak_addr_get4(&to->dst);
		addrs[1] = oak_addr_get4(&to->src);
		if (bpf_skb_load_bytes(skb, quoted + offsetof(struct iphdr, saddr), was, sizeof(was)))
			return OAK_DROP_REWRITE_FAILED;
		diff = oak_fold((__u64)(__u32)~was[0] + addrs[0] + (__u32)~was[1] + addrs[1]);
		if (bpf_l3_csum_replace(skb, quoted + offsetof(struct iphdr, check), 0, diff, 0) ||
		    bpf_skb_store_bytes(skb, quoted + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0))
			return OAK_DROP_REWRITE_FAILED;
		is_echo = p->key.zone >> 24 == IPPROTO_ICMP;
	} else {
		/* Of the addresses each appears twice, outside and quoted, and both count. Outside, a router's may stand for the source. */
		__u32 was = oak_sum_addr(&p->key.src, &p->key.dst), is = oak_sum_addr(&to->src, &to->dst);
		struct oak_addr from;

		diff = oak_fold((__u64)(__u32)~was + is);
		if (bpf_l4_csum_replace(skb, check, 0, diff, BPF_F_PSEUDO_HDR) ||
		    bpf_skb_load_bytes(skb, p->l3 + offsetof(struct ipv6hdr, saddr), &from, sizeof(from)))
			return OAK_DROP_REWRITE_FAILED;
		oak_keep_complete(skb, diff);
		was = oak_sum_addr(&from, &p->key.dst);
		diff = oak_fold((__u64)(__u32)~was + is);
		if (bpf_l4_csum_replace(skb, check, 0, diff, BPF_F_PSEUDO_HDR))
			return OAK_DROP_REWRITE_FAILED;
		oak_keep_complete(skb, diff);
		if (bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, saddr), &to->src, sizeof(to->src), 0) ||
		    bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, daddr), &to->dst, sizeof(to->dst), 0) ||
		    bpf_skb_store_bytes(skb, quoted + offsetof(struct ipv6hdr, saddr), &to->dst, sizeof(to->dst), 0) ||
		    bpf_skb_store_bytes(skb, quoted + offsetof(struct ipv6hdr, daddr), &to->src, sizeof(to->src), 0))
			return OAK_DROP_REWRITE_FAILED;
		is_echo = p->key.zone >> 24 == OAK_IPPROTO_ICMPV6;
	}
	if (ports[0] == old[0] && ports[1] == old[1])
		return 0;
	if (is_echo) {
		__be16 from = old[0] != ports[0] ? old[0] : old[1], id = old[0] != ports[0] ? ports[0] : ports[1];

		if (bpf_l4_csum_replace(skb, check, from, id, 2) ||
		    bpf_skb_store_bytes(skb, quoted_l4 + offsetof(struct oak_icmp, id), &id, sizeof(id), 0))
			return OAK_DROP_REWRITE_FAILED;
		return 0;
	}
	if (bpf_l4_csum_replace(skb, check, old[0], ports[0], 2) || bpf_l4_csum_replace(skb, check, old[1], ports[1], 2) ||
	    bpf_skb_store_bytes(skb, quoted_l4, ports, sizeof(ports), 0))
		return OAK_DROP_REWRITE_FAILED;
	return 0;
}

#endif
