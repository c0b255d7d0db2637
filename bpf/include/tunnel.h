/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tunnel: VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe) over UDP over IPv4 or IPv6, IP directly inside. The VNI is the callee's tag.
 */
#ifndef OAK_TUNNEL_H
#define OAK_TUNNEL_H

#include "count.h"
#include "nexthop.h"
#include "parse.h"
#include "rewrite.h"

#define OAK_SPORT_FIRST 49152 /* of the dynamic range (RFC 6335) */

#define OAK_GPE_FLAGS 0x0c /* instance bit and next-protocol bit; all others 0 */
#define OAK_GPE_IPV4 1
#define OAK_GPE_IPV6 2
#define OAK_GPE_ECHO 0xfd
#define OAK_GPE_HELLO 0xfe

struct oak_gpe {
	__u8 flags;
	__u8 reserved[2];
	__u8 next;
	__u8 tag[3];
	__u8 zero;
};

struct oak_outer4 {
	struct iphdr ip;
	struct udphdr udp;
	struct oak_gpe gpe;
} __attribute__((packed));

struct oak_outer6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	struct oak_gpe gpe;
} __attribute__((packed));

#define OAK_OUTER4 ((__s32)sizeof(struct oak_outer4)) /* 36 bytes */
#define OAK_OUTER6 ((__s32)sizeof(struct oak_outer6)) /* 56 bytes */

/* Flags of bpf_skb_adjust_room since Linux 6.3, which the headers of the floor do not have. Older kernels are told in a longer way what is
 * inside. Set when the programs are loaded. */
#define OAK_DECAP_L3_IPV4 (1ULL << 7)
#define OAK_DECAP_L3_IPV6 (1ULL << 8)
volatile const __u32 oak_has_decap_l3 = 0;

/* RFC 3168: the lower two bits of the traffic class. */
#define OAK_ECN_MASK 3
#define OAK_ECN_ECT1 1
#define OAK_ECN_ECT0 2
#define OAK_ECN_CE 3

static __always_inline void oak_ip_checksum(struct iphdr *ip)
{
	const __u32 *w = (const __u32 *)ip;

	ip->check = 0;
	ip->check = ~oak_fold16(oak_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]));
}

static __always_inline void oak_count_peer_tx(struct __sk_buff *skb, __u32 peer)
{
	struct oak_peer_stats *s = bpf_map_lookup_elem(&peer_stats, &peer);

	if (s) {
		s->tx_packets++;
		s->tx_bytes += skb->len;
	}
}

static __always_inline void oak_count_peer_rx(struct __sk_buff *skb, __u32 peer)
{
	struct oak_peer_stats *s = bpf_map_lookup_elem(&peer_stats, &peer);

	if (s) {
		s->rx_packets++;
		s->rx_bytes += skb->len;
	}
}

/* oak_source_port is the flow's hash in the dynamic range, so that routers and cards spread flows (RFC 7348, 5), unless a NAT needs it
 * to stay the same. */
static __always_inline __be16 oak_source_port(const struct oak_peer *peer, const struct oak_pkt *p, const int family)
{
	__u32 h;

	if (peer->sport)
		return bpf_htons(peer->sport);
	/* Not the packet's own hash: where nobody has set it, the kernel would take the packet apart for it. */
	if (family == OAK_V4)
		h = p->key4.src ^ (p->key4.dst * 0x9e3779b1) ^ ((__u32)p->key4.sport << 16 | p->key4.dport);
	else
		h = oak_word(&p->key.src, 3) ^ (oak_word(&p->key.dst, 3) * 0x9e3779b1) ^ ((__u32)p->key.sport << 16 | p->key.dport);
	h *= 0x85ebca6b; /* of MurmurHash3's finalizer */
	return bpf_htons(OAK_SPORT_FIRST | (h >> 18));
}

static __always_inline void oak_write_gpe(struct oak_gpe *gpe, const __u8 *tag, __u8 next)
{
	gpe->flags = OAK_GPE_FLAGS;
	gpe->reserved[0] = 0;
	gpe->reserved[1] = 0;
	gpe->next = next;
	gpe->tag[0] = tag[0];
	gpe->tag[1] = tag[1];
	gpe->tag[2] = tag[2];
	gpe->zero = 0;
}

static __always_inline int oak_encap4(struct __sk_buff *skb, const struct oak_peer *peer, const __u8 *tag, const struct oak_pkt *p,
				      const int family)
{
	/* FIXED_GSO: without it a super-packet's segments shrink, and UDP ones are refused. */
	const __u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO |
			    BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	struct oak_outer4 *outer;
	__u32 len = skb->len - ETH_HLEN;
	void *data, *end;

	if (bpf_skb_adjust_room(skb, OAK_OUTER4, BPF_ADJ_ROOM_MAC, flags))
		return OAK_DROP_ENCAP_FAILED;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	outer = data + ETH_HLEN;
	if ((void *)(outer + 1) > end)
		return OAK_DROP_ENCAP_FAILED;
	*(__u8 *)&outer->ip = 0x45;
	outer->ip.tos = p->tos; /* RFC 6040, 4.1, normal mode; DSCP as RFC 2983's uniform model has it on this side */
	outer->ip.tot_len = len + sizeof(*outer) > 0xffff ? 0 : bpf_htons(len + sizeof(*outer));
	outer->ip.id = 0;
	outer->ip.frag_off = bpf_htons(0x4000);
	outer->ip.ttl = 64;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = oak_addr_get4(&peer->local);
	outer->ip.daddr = oak_addr_get4(&peer->outer);
	oak_ip_checksum(&outer->ip);
	outer->udp.source = oak_source_port(peer, p, family);
	outer->udp.dest = bpf_htons(peer->port);
	outer->udp.len = bpf_htons(len + sizeof(struct udphdr) + sizeof(struct oak_gpe));
	outer->udp.check = 0;
	oak_write_gpe(&outer->gpe, tag, family == OAK_V4 ? OAK_GPE_IPV4 : OAK_GPE_IPV6);
	return 0;
}

static __always_inline int oak_encap6(struct __sk_buff *skb, const struct oak_peer *peer, const __u8 *tag, const struct oak_pkt *p,
				      const int family)
{
	const __u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO |
			    BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	struct oak_outer6 *outer;
	__u32 len = skb->len - ETH_HLEN;
	void *data, *end;

	if (bpf_skb_adjust_room(skb, OAK_OUTER6, BPF_ADJ_ROOM_MAC, flags))
		return OAK_DROP_ENCAP_FAILED;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	outer = data + ETH_HLEN;
	if ((void *)(outer + 1) > end)
		return OAK_DROP_ENCAP_FAILED;
	*(__be32 *)&outer->ip = bpf_htonl(6U << 28 | (__u32)p->tos << 20);
	len += sizeof(struct udphdr) + sizeof(struct oak_gpe);
	outer->ip.payload_len = len > 0xffff ? 0 : bpf_htons(len);
	outer->ip.nexthdr = IPPROTO_UDP;
	outer->ip.hop_limit = 64;
	__builtin_memcpy(&outer->ip.saddr, &peer->local, sizeof(outer->ip.saddr));
	__builtin_memcpy(&outer->ip.daddr, &peer->outer, sizeof(outer->ip.daddr));
	outer->udp.source = oak_source_port(peer, p, family);
	outer->udp.dest = bpf_htons(peer->port);
	outer->udp.len = bpf_htons(len);
	outer->udp.check = 0; /* RFC 6935: a tunnel's may be left out */
	oak_write_gpe(&outer->gpe, tag, family == OAK_V4 ? OAK_GPE_IPV4 : OAK_GPE_IPV6);
	return 0;
}

/* oak_encap sends the packet behind the Ethernet header to a peer. Returns a verdict. */
static __always_inline int oak_encap(struct __sk_buff *skb, const struct oak_peer *peer, __u32 index, const __u8 *tag,
				     const struct oak_pkt *p, const int family)
{
	__u32 ifindex = peer->ifindex;
	int reason;

	reason = peer->family == OAK_V4 ? oak_encap4(skb, peer, tag, p, family) : oak_encap6(skb, peer, tag, p, family);
	if (reason)
		return oak_dropped(skb, reason);
	oak_step(skb, p, OAK_STEP_PEER, index, ifindex);
	oak_count_peer_tx(skb, index);
	oak_stat(skb, OAK_STAT_TO_TUNNEL);
	return oak_leave(skb, ifindex, index);
}

/* oak_protocol tells the kernel and the Ethernet header what family the packet has that was inside one of another family. */
static __always_inline int oak_protocol(struct __sk_buff *skb, const int family)
{
	__be16 proto = bpf_htons(family == OAK_V4 ? ETH_P_IP : ETH_P_IPV6);

	return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &proto, sizeof(proto), 0);
}

/* oak_decap strips the outer headers. Packet pointers are stale afterwards. Returns a drop reason, or 0. */
static __always_inline int oak_decap(struct __sk_buff *skb, const int outer, const int family)
{
	__s32 len = outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (outer != family && oak_has_decap_l3)
		flags |= family == OAK_V4 ? OAK_DECAP_L3_IPV4 : OAK_DECAP_L3_IPV6;
	if (outer != family && !oak_has_decap_l3) {
		/* The helper turns one IP header into the other, 20 bytes longer or shorter, and with it what the kernel holds it to be. */
		if (bpf_skb_change_proto(skb, bpf_htons(family == OAK_V4 ? ETH_P_IP : ETH_P_IPV6), 0))
			return OAK_DROP_DECAP_FAILED;
		len += family == OAK_V4 ? -20 : 20;
	}
	if (bpf_skb_adjust_room(skb, -len, BPF_ADJ_ROOM_MAC, flags))
		return OAK_DROP_DECAP_FAILED;
	/* A card that verified the inner checksum too said so as one level more. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	if (outer != family && oak_protocol(skb, family))
		return OAK_DROP_DECAP_FAILED;
	return 0;
}

/* oak_decap_ecn brings a mark that a router has set outside to the packet inside, which is bare by now (RFC 6040, 4.2). Returns a drop
 * reason, or 0. */
static __always_inline int oak_decap_ecn(struct __sk_buff *skb, __u8 outer_tos, __u8 tos, const int family)
{
	__u8 outer = outer_tos & OAK_ECN_MASK, inner = tos & OAK_ECN_MASK, to = inner;

	if (outer == OAK_ECN_CE)
		to = inner ? OAK_ECN_CE : 0xff;
	else if (outer == OAK_ECN_ECT1 && inner == OAK_ECN_ECT0)
		to = OAK_ECN_ECT1;
	if (to == inner)
		return 0;
	if (to == 0xff)
		return OAK_DROP_CONGESTED;
	tos = (tos & ~OAK_ECN_MASK) | to;
	if (family == OAK_V4) {
		__be16 first[1];

		if (bpf_skb_load_bytes(skb, ETH_HLEN, first, sizeof(first)) ||
		    bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), first[0],
					bpf_htons((bpf_ntohs(first[0]) & 0xff00) | tos), 2) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, tos), &tos, 1, 0))
			return OAK_DROP_DECAP_FAILED;
	} else {
		__u8 first[2];

		if (bpf_skb_load_bytes(skb, ETH_HLEN, first, sizeof(first)))
			return OAK_DROP_DECAP_FAILED;
		first[0] = 0x60 | tos >> 4;
		first[1] = (first[1] & 0x0f) | tos << 4;
		if (bpf_skb_store_bytes(skb, ETH_HLEN, first, sizeof(first), 0))
			return OAK_DROP_DECAP_FAILED;
	}
	return 0;
}

#endif
