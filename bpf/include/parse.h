/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parsing: from bytes to the key of a flow. Every length is checked against the packet and against the other lengths in it.
 *
 * Functions take the address family as a constant: the compiler makes one of each for IPv4 and one for IPv6. What few packets need
 * is written once for both, takes the family from the packet, and is verified apart (not static).
 */
#ifndef OAK_PARSE_H
#define OAK_PARSE_H

#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "addr.h"
#include "maps.h"

#define OAK_ICMP_PORT bpf_htons(0x0800) /* stands for the answering side of an echo */

#define OAK_IP_MORE 0x2000
#define OAK_IP_OFFSET 0x1fff
#define OAK_IP_FRAGMENT (OAK_IP_MORE | OAK_IP_OFFSET)

#define OAK_IPPROTO_ICMPV6 58

/* RFC 792 and RFC 4443: what echoes look like, and the first 8 bytes of all else. The kernel's headers of it need a C library. */
struct oak_icmp {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be16 id;
	__be16 sequence;
};

enum oak_icmp_type {
	OAK_ICMP_ECHOREPLY = 0,
	OAK_ICMP_UNREACHABLE = 3,
	OAK_ICMP_ECHO = 8,
	OAK_ICMP_TIME_EXCEEDED = 11,
	OAK_ICMP_PARAMETER = 12,
	OAK_ICMPV6_UNREACHABLE = 1,
	OAK_ICMPV6_TOO_BIG = 2,
	OAK_ICMPV6_PARAMETER = 4,
	OAK_ICMPV6_ECHO = 128,
	OAK_ICMPV6_ECHOREPLY = 129,
	OAK_ICMPV6_MLD_FIRST = 130,
	OAK_ICMPV6_ND_LAST = 137,
	OAK_ICMPV6_MLD2 = 143,
};

/* oak_packet returns room for what is found out about a packet. It is no variable: the stack is short, and the verifier would follow each
 * value that is known of it through all that comes after. */
static __always_inline struct oak_pkt *oak_packet(void)
{
	__u32 zero = 0;
	struct oak_pkt *p = bpf_map_lookup_elem(&packet, &zero);

	if (p)
		__builtin_memset(p, 0, sizeof(*p));
	return p;
}

static __always_inline __u32 oak_zone(__u8 proto, __u32 where)
{
	return (__u32)proto << 24 | (where & OAK_WHERE_MASK);
}

/* oak_widen gives a packet of IPv4 the key that code for both families goes by. */
static __always_inline void oak_widen(struct oak_pkt *p, const int family)
{
	if (family != OAK_V4)
		return;
	oak_addr_set4(&p->key.src, p->key4.src);
	oak_addr_set4(&p->key.dst, p->key4.dst);
	p->key.sport = p->key4.sport;
	p->key.dport = p->key4.dport;
	p->key.zone = p->key4.zone;
}

/* oak_narrow makes the key of an IPv4 packet from one that is for both families. */
static __always_inline void oak_narrow(struct oak_key4 *k4, const struct oak_key *k)
{
	k4->src = oak_addr_get4(&k->src);
	k4->dst = oak_addr_get4(&k->dst);
	k4->sport = k->sport;
	k4->dport = k->dport;
	k4->zone = k->zone;
}

/* oak_pull makes the first len bytes directly readable, as far as there are that many. */
static __always_inline void oak_pull(struct __sk_buff *skb, __u32 len)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (data + len > end)
		bpf_skb_pull_data(skb, len < skb->len ? len : skb->len);
}

#include "piece.h"

static __always_inline int oak_parse_ip4(struct __sk_buff *skb, __u32 off, struct oak_pkt *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + off;
	__u32 len, total;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	len = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	/* A super-packet of more than 64 KiB does not say how long it is (BIG TCP). */
	if (!total && skb->len - off > 0xffff)
		total = skb->len - off;
	if (ip->version != 4 || len < sizeof(*ip) || total < len || off + total > skb->len)
		return OAK_DROP_MALFORMED;
	p->family = OAK_V4;
	p->key4.src = ip->saddr;
	p->key4.dst = ip->daddr;
	p->proto = ip->protocol;
	p->tos = ip->tos;
	p->l3 = off;
	p->l4 = off + len;
	p->l4_len = total - len;
	if (ip->frag_off & bpf_htons(OAK_IP_FRAGMENT)) {
		p->piece = ip->frag_off & bpf_htons(OAK_IP_OFFSET) ? OAK_LATER_PIECE : OAK_FIRST_PIECE;
		p->id = ip->id;
	}
	return 0;
}

/* oak_skip_extensions goes over the extension headers before the transport's (RFC 8200, 4): options and the fragment header, four at
 * most. Routing headers are for routers and not taken. Returns a drop reason, or 0. */
__attribute__((noinline)) int oak_skip_extensions(struct __sk_buff *skb, struct oak_pkt *p)
{
	struct {
		__u8 next;
		__u8 len;
		__be16 offset;
		__be32 id;
	} h;

	if (!p)
		return OAK_DROP_MALFORMED;
	for (int i = 0; i <= 4; i++) {
		__u32 len = 8;

		if (p->proto != 0 && p->proto != 60 && p->proto != 44)
			return 0;
		if (i == 4)
			break;
		if (bpf_skb_load_bytes(skb, p->l4, &h, sizeof(h)))
			return OAK_DROP_MALFORMED;
		if (p->proto == 44) {
			if (p->piece)
				return OAK_DROP_MALFORMED;
			if (h.offset & bpf_htons(0xfff9)) {
				p->piece = h.offset & bpf_htons(0xfff8) ? OAK_LATER_PIECE : OAK_FIRST_PIECE;
				p->id = h.id;
			}
		} else {
			len += h.len * 8;
		}
		if (len > p->l4_len)
			return OAK_DROP_MALFORMED;
		p->l4 += len;
		p->l4_len -= len;
		p->proto = h.next;
		if (p->piece == OAK_LATER_PIECE)
			return 0;
	}
	return OAK_DROP_PROTOCOL;
}

static __always_inline int oak_parse_ip6(struct __sk_buff *skb, __u32 off, struct oak_pkt *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + off;
	__u32 len;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	len = bpf_ntohs(ip->payload_len);
	if (!len && skb->len - off > 0xffff)
		len = skb->len - off - sizeof(*ip);
	if (ip->version != 6 || off + sizeof(*ip) + len > skb->len)
		return OAK_DROP_MALFORMED;
	p->family = OAK_V6;
	__builtin_memcpy(&p->key.src, &ip->saddr, sizeof(p->key.src));
	__builtin_memcpy(&p->key.dst, &ip->daddr, sizeof(p->key.dst));
	/* What maps hold as IPv4 may not come as IPv6. */
	if (oak_addr_is4(&p->key.src) || oak_addr_is4(&p->key.dst))
		return OAK_DROP_MALFORMED;
	p->proto = ip->nexthdr;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->l3 = off;
	p->l4 = off + sizeof(*ip);
	p->l4_len = len;
	if (p->proto == 0 || p->proto == 60 || p->proto == 44)
		return oak_skip_extensions(skb, p);
	return 0;
}

/* oak_parse_ip reads the IP header at off: addresses and protocol. Returns a drop reason, or 0. */
static __always_inline int oak_parse_ip(struct __sk_buff *skb, __u32 off, struct oak_pkt *p, const int family)
{
	return family == OAK_V4 ? oak_parse_ip4(skb, off, p) : oak_parse_ip6(skb, off, p);
}

/* oak_addresses reads who sends the packet behind the Ethernet header, and to whom. Returns 0 if it can be read. */
static __always_inline int oak_addresses(struct __sk_buff *skb, struct oak_addr *src, struct oak_addr *dst, const int family)
{
	if (family == OAK_V4) {
		__be32 addrs[2];

		if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), addrs, sizeof(addrs)))
			return -1;
		oak_addr_set4(src, addrs[0]);
		oak_addr_set4(dst, addrs[1]);
		return 0;
	}
	return bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), src, sizeof(*src)) ||
	       bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, daddr), dst, sizeof(*dst));
}

static __always_inline int oak_parse_tcp(void *at, void *end, struct oak_pkt *p, __be16 *ports)
{
	struct tcphdr *tcp = at;

	if ((void *)(tcp + 1) > end || p->l4_len < sizeof(*tcp) || tcp->doff < 5)
		return OAK_DROP_MALFORMED;
	/* Whoever answers it goes by the length of what follows. */
	if (tcp->doff * 4 > p->l4_len)
		return OAK_DROP_MALFORMED;
	ports[0] = tcp->source;
	ports[1] = tcp->dest;
	p->ack = tcp->ack_seq;
	p->l4_head = tcp->doff * 4;
	p->tcp = (tcp->syn ? OAK_TCP_SYN : 0) | (tcp->fin ? OAK_TCP_FIN : 0) | (tcp->rst ? OAK_TCP_RST : 0) |
		 (tcp->ack ? OAK_TCP_ACK : 0);
	p->may_open = p->tcp == OAK_TCP_SYN;
	return 0;
}

static __always_inline int oak_parse_udp(void *at, void *end, struct oak_pkt *p, __be16 *ports)
{
	struct udphdr *udp = at;

	if ((void *)(udp + 1) > end || p->l4_len < sizeof(*udp))
		return OAK_DROP_MALFORMED;
	ports[0] = udp->source;
	ports[1] = udp->dest;
	p->l4_head = sizeof(*udp);
	p->may_open = 1;
	return 0;
}

/* oak_echo_ports gives an echo its ports. The identifier is the port of who asked, a constant that of who answers, so that the two
 * directions of one echo are each other's mirror while an echo asked by the other side is a flow of its own. Returns 0 if it is one. */
static __always_inline int oak_echo_ports(const struct oak_icmp *icmp, __u8 proto, __be16 *ports)
{
	int v4 = proto == IPPROTO_ICMP;

	if (icmp->code)
		return -1;
	if (icmp->type == (v4 ? OAK_ICMP_ECHO : OAK_ICMPV6_ECHO)) {
		ports[0] = icmp->id;
		ports[1] = OAK_ICMP_PORT;
		return 0;
	}
	if (icmp->type == (v4 ? OAK_ICMP_ECHOREPLY : OAK_ICMPV6_ECHOREPLY)) {
		ports[0] = OAK_ICMP_PORT;
		ports[1] = icmp->id;
		return 0;
	}
	return -1;
}

static __always_inline int oak_icmp_is_error(__u8 type, const int family)
{
	if (family == OAK_V4)
		return type == OAK_ICMP_UNREACHABLE || type == OAK_ICMP_TIME_EXCEEDED || type == OAK_ICMP_PARAMETER;
	return type >= OAK_ICMPV6_UNREACHABLE && type <= OAK_ICMPV6_PARAMETER;
}

/* oak_parse_quoted makes the key of an ICMP error from the packet that it quotes: the error goes the other way. Returns a drop
 * reason, or 0. */
__attribute__((noinline)) int oak_parse_quoted(struct __sk_buff *skb, struct oak_pkt *p)
{
	struct oak_addr from, whom;
	struct oak_icmp head;
	__be16 ports[2];
	__u32 at;
	__u8 proto;

	if (!p || p->l4_len < sizeof(head))
		return OAK_DROP_MALFORMED;
	at = p->l4 + sizeof(head);
	p->quoted = at;
	if (p->family == OAK_V4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return OAK_DROP_MALFORMED;
		if (ip.version != 4 || ip.ihl < 5)
			return OAK_DROP_MALFORMED;
		if (ip.frag_off & bpf_htons(OAK_IP_OFFSET))
			return OAK_DROP_FRAGMENT;
		oak_addr_set4(&from, p->key4.src);
		oak_addr_set4(&whom, p->key4.dst);
		oak_addr_set4(&p->key.src, ip.daddr);
		oak_addr_set4(&p->key.dst, ip.saddr);
		proto = ip.protocol;
		at += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return OAK_DROP_MALFORMED;
		if (ip.version != 6)
			return OAK_DROP_MALFORMED;
		from = p->key.src;
		whom = p->key.dst;
		__builtin_memcpy(&p->key.src, &ip.daddr, sizeof(p->key.src));
		__builtin_memcpy(&p->key.dst, &ip.saddr, sizeof(p->key.dst));
		proto = ip.nexthdr;
		at += sizeof(ip);
	}
	/* Who complains is who the packet was for, and complains to who has sent it: there is no router inside the overlay, but many are
	 * outside. */
	if ((p->where != OAK_FROM_OUTSIDE && !oak_addr_eq(&from, &p->key.src)) || !oak_addr_eq(&whom, &p->key.dst))
		return OAK_DROP_NO_FLOW;
	/* What lies behind the packet's end, in the frame's padding, is not in its checksum. */
	if (at + sizeof(head) > p->l4 + p->l4_len || bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
		return OAK_DROP_MALFORMED;
	p->quoted_l4 = at;
	p->key.zone = oak_zone(proto, p->where);
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		__builtin_memcpy(ports, &head, sizeof(ports));
		break;
	case IPPROTO_ICMP:
	case OAK_IPPROTO_ICMPV6:
		if (oak_echo_ports(&head, proto, ports))
			return OAK_DROP_PROTOCOL;
		break;
	default:
		return OAK_DROP_PROTOCOL;
	}
	p->key.sport = ports[1];
	p->key.dport = ports[0];
	if (p->family == OAK_V4)
		oak_narrow(&p->key4, &p->key);
	return 0;
}

static __always_inline int oak_parse_icmp(struct __sk_buff *skb, void *at, void *end, struct oak_pkt *p, __be16 *ports, const int family)
{
	struct oak_icmp *icmp = at;

	if ((void *)(icmp + 1) > end || p->l4_len < sizeof(*icmp))
		return OAK_DROP_MALFORMED;
	p->l4_head = sizeof(*icmp);
	if (!oak_echo_ports(icmp, p->proto, ports)) {
		p->may_open = ports[1] == OAK_ICMP_PORT;
		return 0;
	}
	if (oak_icmp_is_error(icmp->type, family))
		return oak_parse_quoted(skb, p);
	if (family == OAK_V6 && ((icmp->type > OAK_ICMPV6_ECHOREPLY && icmp->type <= OAK_ICMPV6_ND_LAST) || icmp->type == OAK_ICMPV6_MLD2))
		return OAK_DROP_NEIGHBOUR;
	return OAK_DROP_PROTOCOL;
}

/* oak_parse_l4 completes the key from the transport header of a packet that came from where. oak_parse_ip has been at off, which the
 * verifier has to know as a constant. Returns a drop reason, or 0. */
static __always_inline int oak_parse_l4(struct __sk_buff *skb, const __u32 off, struct oak_pkt *p, __u32 where, const int family)
{
	const __u32 plain = family == OAK_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *data, *end, *at;
	__be16 ports[2] = {};
	__u32 head;
	int reason;

	p->where = where;
	if (p->piece == OAK_LATER_PIECE)
		return oak_piece(p);
	/* Callers have made readable what there is without options. */
	head = p->l4 - off;
	if (head > plain)
		oak_pull(skb, p->l4 + sizeof(struct tcphdr));
	/* Bounded for the verifier: options of IPv4 are 40 bytes at most; more extension headers than that are refused. */
	if (head > 0xff)
		return OAK_DROP_PROTOCOL;
	/* Read anew: else the compiler joins what was read on either way here as the 32 bits that the context has, which the verifier no
	 * longer takes for pointers. */
	asm volatile("" ::: "memory");
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	at = data + off + head;
	/* One pointer for the check and the reads: computed twice, the verifier would not know the second to be the first. */
	asm volatile("" : "+r"(at));
	switch (p->proto) {
	case IPPROTO_TCP:
		reason = oak_parse_tcp(at, end, p, ports);
		break;
	case IPPROTO_UDP:
		reason = oak_parse_udp(at, end, p, ports);
		break;
	case IPPROTO_ICMP:
	case OAK_IPPROTO_ICMPV6:
		if (p->proto != (family == OAK_V4 ? IPPROTO_ICMP : OAK_IPPROTO_ICMPV6))
			return OAK_DROP_PROTOCOL;
		reason = oak_parse_icmp(skb, at, end, p, ports, family);
		if (p->quoted)
			return reason;
		break;
	default:
		return OAK_DROP_PROTOCOL;
	}
	if (reason)
		return reason;
	if (family == OAK_V4) {
		p->key4.sport = ports[0];
		p->key4.dport = ports[1];
		p->key4.zone = oak_zone(p->proto, where);
	} else {
		p->key.sport = ports[0];
		p->key.dport = ports[1];
		p->key.zone = oak_zone(p->proto, where);
	}
	if (p->piece)
		return oak_piece(p);
	return 0;
}

#endif
