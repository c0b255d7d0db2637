/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors, made of the packet that they are about: it moves back, and headers come before it. */
#ifndef OAK_ICMP_H
#define OAK_ICMP_H

#include "count.h"
#include "made.h"
#include "parse.h"

/* Codes of unreachable. */
#define OAK_ICMP_HOST 1
#define OAK_ICMP_PORT_UNREACHABLE 3
#define OAK_ICMP_TOO_BIG 4
#define OAK_ICMPV6_HOST 3
#define OAK_ICMPV6_PORT_UNREACHABLE 4

#define OAK_ICMP_TOS 0xc0 /* RFC 1812, 4.3.2.5 */

/* oak_make_error turns a packet into the error about it, which comes from this worker's gateway where that is the sender's, else from where the
 * packet was sent to: who is not here takes errors of a flow from its ends alone. It quotes as much as is sure to have the
 * transport's header. Returns 0, or -1 if it cannot be done; the packet may be spoilt then. Not static: verified once. */
__attribute__((noinline)) int oak_make_error(struct __sk_buff *skb, struct oak_pkt *p, __u8 type, __u8 code, __u32 info)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_config *cfg = oak_cfg();
	struct oak_addr *src, *dst;
	struct oak_icmp *icmp;
	__u32 len, head;
	__u64 sum = 0;
	int v4;

	if (!s || !cfg || !p)
		return -1;
	/* Of flows nothing is known in scratch that is still needed. */
	src = &s->saved_fwd.src;
	dst = &s->saved_fwd.dst;
	v4 = p->family == OAK_V4;
	head = v4 ? sizeof(struct iphdr) + sizeof(*icmp) : sizeof(struct ipv6hdr) + sizeof(*icmp);
	/* Who is told is who has sent it. */
	if (v4 ? oak_addresses(skb, dst, src, OAK_V4) : oak_addresses(skb, dst, src, OAK_V6))
		return -1;
	if (p->where != OAK_FROM_OUTSIDE && !(p->where & OAK_FROM_PEER) && !oak_addr_is_zero(oak_gateway(cfg, v4 ? OAK_V4 : OAK_V6)))
		*src = *oak_gateway(cfg, v4 ? OAK_V4 : OAK_V6);
	len = p->l4 - p->l3 + p->l4_len;
	if (len > OAK_QUOTE)
		len = OAK_QUOTE;
	if (!len)
		return -1;
	/* As in oak_hello_up: what the verifier does not learn from the tests. */
	asm volatile("" : "+r"(len));
	len = ((len - 1) & (OAK_QUOTE - 1)) + 1;

	__builtin_memset(s->made, 0, sizeof(s->made));
	if (v4) {
		if (bpf_skb_load_bytes(skb, p->l3, s->made + sizeof(struct iphdr) + sizeof(*icmp), len))
			return -1;
		oak_made_ip4(s, oak_addr_get4(src), oak_addr_get4(dst), IPPROTO_ICMP, OAK_ICMP_TOS, sizeof(*icmp) + len);
		icmp = (void *)(s->made + sizeof(struct iphdr));
	} else {
		if (bpf_skb_load_bytes(skb, p->l3, s->made + sizeof(struct ipv6hdr) + sizeof(*icmp), len))
			return -1;
		oak_made_ip6(s, src, dst, OAK_IPPROTO_ICMPV6, sizeof(*icmp) + len);
		icmp = (void *)(s->made + sizeof(struct ipv6hdr));
		sum = oak_pseudo(src, dst, OAK_IPPROTO_ICMPV6, sizeof(*icmp) + len);
	}
	icmp->type = type;
	icmp->code = code;
	/* The last four bytes: of IPv4 the MTU is in the lower two of them, and it is less than 64 KiB. */
	*(__be32 *)&icmp->id = bpf_htonl(info);
	/* Zeroes behind the end of what is quoted do not count. */
	sum += bpf_csum_diff(0, 0, (void *)icmp, sizeof(*icmp) + OAK_QUOTE, 0);
	icmp->check = ~oak_fold16(oak_fold(sum));

	if (bpf_skb_change_tail(skb, p->l3 + len, 0) ||
	    bpf_skb_adjust_room(skb, head, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return -1;
	if (v4)
		return bpf_skb_store_bytes(skb, ETH_HLEN, s->made, sizeof(struct iphdr) + sizeof(*icmp), BPF_F_RECOMPUTE_CSUM);
	return bpf_skb_store_bytes(skb, ETH_HLEN, s->made, sizeof(struct ipv6hdr) + sizeof(*icmp), BPF_F_RECOMPUTE_CSUM);
}

#endif
