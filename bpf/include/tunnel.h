/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tunnel: VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe) over UDP over IPv4, IP directly inside. The VNI is the callee's tag.
 */
#ifndef OAK_TUNNEL_H
#define OAK_TUNNEL_H

#include "count.h"
#include "parse.h"
#include "rewrite.h"

#define OAK_GPE_FLAGS 0x0c /* instance bit and next-protocol bit; all others 0 */
#define OAK_GPE_IPV4 1
#define OAK_GPE_IPV6 2
#define OAK_GPE_HELLO 0xfe

struct oak_gpe {
	__u8 flags;
	__u8 reserved[2];
	__u8 next;
	__be32 vni; /* in the upper 24 bits */
};

struct oak_outer4 {
	struct iphdr ip;
	struct udphdr udp;
	struct oak_gpe gpe;
} __attribute__((packed));

#define OAK_OUTER4 ((__s32)sizeof(struct oak_outer4)) /* 36 bytes */

static __always_inline void oak_ip_checksum(struct iphdr *ip)
{
	const __u16 *w = (const __u16 *)ip;
	__u32 sum = 0;

	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += w[i];
	ip->check = ~oak_fold16(sum);
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
		s->last_rx = bpf_ktime_get_coarse_ns();
	}
}

/* oak_encap sends the IPv4 packet behind the Ethernet header to a peer. */
static __always_inline int oak_encap(struct __sk_buff *skb, __u32 index, __u32 tag)
{
	/* FIXED_GSO: without it a super-packet's segments shrink, and UDP ones are refused. */
	const __u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO |
			    BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	struct oak_outer4 *outer;
	void *data, *end;
	__u32 hash, len, ifindex;

	/* Only new flows ask for its state. One that is unreachable keeps its flows, since it may answer again, and one that has just been
	 * located may have opened flows to here before its own hello told that it has located us. */
	if (!peer || !peer->port)
		return oak_dropped(skb, OAK_DROP_PEER_DOWN);
	ifindex = peer->ifindex;
	hash = bpf_get_hash_recalc(skb);
	len = skb->len - ETH_HLEN;
	if (bpf_skb_adjust_room(skb, OAK_OUTER4, BPF_ADJ_ROOM_MAC, flags))
		return oak_dropped(skb, OAK_DROP_ENCAP_FAILED);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	outer = data + ETH_HLEN;
	if ((void *)(outer + 1) > end)
		return oak_dropped(skb, OAK_DROP_ENCAP_FAILED);

	outer->ip.version = 4;
	outer->ip.ihl = 5;
	outer->ip.tos = 0;
	outer->ip.tot_len = bpf_htons(len + sizeof(*outer));
	outer->ip.id = 0;
	outer->ip.frag_off = bpf_htons(0x4000);
	outer->ip.ttl = 64;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.saddr = oak_addr_get4(&peer->local);
	outer->ip.daddr = oak_addr_get4(&peer->outer);
	oak_ip_checksum(&outer->ip);
	/* The source port is the flow's hash in the dynamic range, so that routers and cards spread flows (RFC 7348, 5). */
	outer->udp.source = bpf_htons(49152 | ((hash ^ hash >> 16) & 0x3fff));
	outer->udp.dest = bpf_htons(peer->port);
	outer->udp.len = bpf_htons(len + sizeof(struct udphdr) + sizeof(struct oak_gpe));
	outer->udp.check = 0;
	outer->gpe.flags = OAK_GPE_FLAGS;
	outer->gpe.reserved[0] = 0;
	outer->gpe.reserved[1] = 0;
	outer->gpe.next = OAK_GPE_IPV4;
	outer->gpe.vni = bpf_htonl(tag << 8);
	oak_count_peer_tx(skb, index);
	oak_stat(skb, OAK_STAT_TO_TUNNEL);
	return bpf_redirect_neigh(ifindex, 0, 0, 0);
}

/* oak_decap strips the outer headers. Packet pointers are stale afterwards. Returns a drop reason, or 0. */
static __always_inline int oak_decap(struct __sk_buff *skb)
{
	if (bpf_skb_adjust_room(skb, -OAK_OUTER4, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return OAK_DROP_DECAP_FAILED;
	/* A card that verified the inner checksum too said so as one level more. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return 0;
}

#endif
