/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Resets, made of the TCP segment that they answer. */
#ifndef OAK_RESET_H
#define OAK_RESET_H

#include "count.h"
#include "made.h"
#include "parse.h"

#define OAK_TCP_FLAGS_RST 0x04
#define OAK_TCP_FLAGS_ACK 0x10

/* struct tcphdr, as far as a reset has it. */
struct oak_segment {
	__be16 sport;
	__be16 dport;
	__be32 seq;
	__be32 ack;
	__u8 head;
	__u8 flags;
	__be16 window;
	__sum16 check;
	__be16 urgent;
};

/* The kernel shortens no packet that it holds to be still wrapped up: one that came by a veth pair from a worker beside this one, or that was
 * put together of several on its way in. The packet is as it was; the reset's segment and addresses are left in scratch. */
#define OAK_RESET_UNMADE (-2)

static __always_inline struct oak_segment *oak_reset_segment(struct oak_scratch *s)
{
	return (void *)(s->made + sizeof(struct ipv6hdr));
}

/* oak_make_reset turns a segment into the reset that a closed port would answer with (RFC 9293, 3.10.7.1). Returns 0, or OAK_RESET_UNMADE, or -1 if
 * there is none, or it cannot be done; the packet may be spoilt then. Not static: verified once. */
__attribute__((noinline)) int oak_make_reset(struct __sk_buff *skb, struct oak_pkt *p)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_addr *src, *dst;
	struct oak_segment *out;
	__u32 head, extra, check;
	__be32 ack;
	int v4, failed;

	if (!s || !p || p->piece || p->l4_head > p->l4_len || p->tcp & OAK_TCP_RST)
		return -1;
	/* Of flows nothing is known in scratch that is still needed. */
	src = &s->saved_fwd.src;
	dst = &s->saved_fwd.dst;
	out = oak_reset_segment(s);
	v4 = p->family == OAK_V4;
	head = v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (bpf_skb_load_bytes(skb, p->l4, out, sizeof(*out)))
		return -1;
	if (v4 ? oak_addresses(skb, dst, src, OAK_V4) : oak_addresses(skb, dst, src, OAK_V6))
		return -1;
	check = out->sport;
	out->sport = out->dport;
	out->dport = check;
	ack = out->ack;
	out->ack = 0;
	if (p->tcp & OAK_TCP_ACK) {
		out->seq = ack;
		out->flags = OAK_TCP_FLAGS_RST;
	} else {
		out->ack = bpf_htonl(bpf_ntohl(out->seq) + p->l4_len - p->l4_head + !!(p->tcp & OAK_TCP_SYN) + !!(p->tcp & OAK_TCP_FIN));
		out->seq = 0;
		out->flags = OAK_TCP_FLAGS_RST | OAK_TCP_FLAGS_ACK;
	}
	out->head = sizeof(*out) << 2;
	out->window = out->check = out->urgent = 0;
	if (bpf_skb_change_tail(skb, skb->len, 0))
		return OAK_RESET_UNMADE;
	check = bpf_csum_diff(0, 0, (void *)out, sizeof(*out), 0);
	out->check = 0xffff;
	/* Options and extension headers go from the front, so that where the kernel has been told to put the checksum is where it will be. */
	extra = p->l4 - p->l3 - head;
	if (extra && bpf_skb_adjust_room(skb, -(__s32)extra, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return -1;
	if (bpf_skb_change_tail(skb, ETH_HLEN + head + sizeof(*out), 0))
		return -1;
	if (v4) {
		oak_made_ip4(s, oak_addr_get4(src), oak_addr_get4(dst), IPPROTO_TCP, 0, sizeof(*out));
		failed = bpf_skb_store_bytes(skb, ETH_HLEN, s->made, sizeof(struct iphdr), BPF_F_RECOMPUTE_CSUM);
	} else {
		oak_made_ip6(s, src, dst, IPPROTO_TCP, sizeof(*out));
		failed = bpf_skb_store_bytes(skb, ETH_HLEN, s->made, sizeof(struct ipv6hdr), BPF_F_RECOMPUTE_CSUM);
	}
	/* Whether the checksum is to be whole or left to a card is known to the kernel alone, and the helper goes by it. It takes what it is
	 * told of as a change that is there already: so first the segment goes out of the sums, then comes in unseen with the checksum of
	 * nothing, and the helper hears of it. */
	__builtin_memset(s->made, 0, sizeof(*out));
	((struct oak_segment *)s->made)->check = 0xffff;
	if (failed || bpf_skb_store_bytes(skb, ETH_HLEN + head, s->made, sizeof(*out), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + head, out, sizeof(*out), 0))
		return -1;
	head += ETH_HLEN + offsetof(struct oak_segment, check);
	if (bpf_l4_csum_replace(skb, head, 0, oak_pseudo(src, dst, IPPROTO_TCP, sizeof(*out)), BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, head, 0, check, 0))
		return -1;
	return 0;
}

#endif
