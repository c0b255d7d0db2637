/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers: what a sender is told at once about a packet that goes nowhere. The packet itself becomes the answer, so that nothing is sent
 * that was not caused by one packet, and nobody but its sender gets it.
 */
#ifndef OAK_ANSWER_H
#define OAK_ANSWER_H

#include "count.h"
#include "icmp.h"
#include "parse.h"
#include "rate.h"
#include "reset.h"

/* Answers a second and container. A reset is no longer than what it answers; an error may be. */
#define OAK_RESETS_PER_SECOND 20000
#define OAK_ERRORS_PER_SECOND 1000

/* linux/if_packet.h, which needs a C library */
#define OAK_PACKET_HOST 0
#define OAK_PACKET_BROADCAST 1
#define OAK_PACKET_MULTICAST 2

/* oak_size returns how long a packet is, or what a card will cut out of it, from its IP header on. */
static __always_inline __u32 oak_size(struct __sk_buff *skb, const struct oak_pkt *p)
{
	__u32 segment = skb->gso_size;

	return segment ? p->l4 - p->l3 + p->l4_head + segment : skb->len - p->l3;
}

/* oak_may_answer reports whether a packet is one that may be answered at all, and its sender one of this worker's containers
 * (RFC 1122, 3.2.2; RFC 4443, 2.4). */
static __always_inline int oak_may_answer(struct __sk_buff *skb, const struct oak_pkt *p)
{
	if (p->where == OAK_FROM_OUTSIDE || p->where & OAK_FROM_PEER)
		return 0;
	if (skb->pkt_type == OAK_PACKET_BROADCAST || skb->pkt_type == OAK_PACKET_MULTICAST)
		return 0;
	return !p->quoted && p->piece != OAK_LATER_PIECE;
}

/* oak_answer_allowed takes a token out of a bucket of answers. Not static: the stack that it needs is not its callers'. */
__attribute__((noinline)) int oak_answer_allowed(__u32 who, __u32 per_second)
{
	return oak_allowed(who, per_second, bpf_ktime_get_ns());
}

/* oak_deliver gives a packet to a local endpoint as it is. */
static __always_inline int oak_deliver(struct __sk_buff *skb, __u32 ifindex)
{
	struct oak_endpoint *ep = bpf_map_lookup_elem(&endpoints, &ifindex);

	if (!ep)
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), ep->mac, sizeof(ep->mac), 0) ||
	    bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), ep->host_mac, sizeof(ep->host_mac), 0))
		return TC_ACT_SHOT;
	/* Both ends of the worker's own pair are in one namespace, where the helper that skips the host side refuses to work. */
	return ep->flags & OAK_ENDPOINT_HOST ? bpf_redirect(ifindex, 0) : bpf_redirect_peer(ifindex, 0);
}

/* oak_answer drops a packet of a container for a reason that its sender is told, where it is to be told. What may be otherwise in a moment
 * is not said: a sender that tries again finds it so. Not static: verified once. */
__attribute__((noinline)) int oak_answer(struct __sk_buff *skb, struct oak_pkt *p, __u32 reason)
{
	int v4, verdict = oak_dropped(skb, reason);

	if (!p || !oak_may_answer(skb, p))
		return verdict;
	v4 = p->family == OAK_V4;
	switch (reason) {
	case OAK_DROP_NO_FLOW:
		if (p->proto != IPPROTO_TCP)
			return verdict;
		break;
	case OAK_DROP_NO_SERVICE:
	case OAK_DROP_NO_BACKEND:
	case OAK_DROP_BACKEND_GONE:
	case OAK_DROP_UNRESOLVED:
	case OAK_DROP_FLOW_SHARE:
		break;
	default:
		return verdict;
	}
	if (p->proto == IPPROTO_TCP && reason != OAK_DROP_UNRESOLVED) {
		if (!oak_answer_allowed(OAK_RESETS_TO | p->where, OAK_RESETS_PER_SECOND) || oak_make_reset(skb, p))
			return verdict;
	} else {
		__u8 code = v4 ? OAK_ICMP_HOST : OAK_ICMPV6_HOST;

		if (p->proto == IPPROTO_UDP && reason != OAK_DROP_UNRESOLVED)
			code = v4 ? OAK_ICMP_PORT_UNREACHABLE : OAK_ICMPV6_PORT_UNREACHABLE;
		else if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP && !p->may_open)
			return verdict; /* not an echo request */
		if (!oak_answer_allowed(OAK_ERRORS_TO | p->where, OAK_ERRORS_PER_SECOND) ||
		    oak_make_error(skb, p, v4 ? OAK_ICMP_UNREACHABLE : OAK_ICMPV6_UNREACHABLE, code, 0))
			return verdict;
	}
	oak_stat(skb, OAK_STAT_ANSWERED);
	return oak_deliver(skb, p->where);
}

/* oak_make_refusal turns a packet of one who is not of this worker's containers, and whose flow is refused, into the answer to it. Returns as
 * oak_make_reset does. Not static: verified once. */
__attribute__((noinline)) int oak_make_refusal(struct __sk_buff *skb, struct oak_pkt *p)
{
	int v4;

	if (!p || p->quoted || p->piece == OAK_LATER_PIECE)
		return -1;
	if (p->proto == IPPROTO_TCP)
		return oak_make_reset(skb, p);
	v4 = p->family == OAK_V4;
	if (p->proto == IPPROTO_UDP)
		return oak_make_error(skb, p, v4 ? OAK_ICMP_UNREACHABLE : OAK_ICMPV6_UNREACHABLE,
				      v4 ? OAK_ICMP_PORT_UNREACHABLE : OAK_ICMPV6_PORT_UNREACHABLE, 0);
	return oak_make_error(skb, p, v4 ? OAK_ICMP_UNREACHABLE : OAK_ICMPV6_UNREACHABLE, v4 ? OAK_ICMP_HOST : OAK_ICMPV6_HOST, 0);
}

/* oak_answer_too_big drops a packet that is longer than what the way carries, and says so to a sender that is here. The packet is
 * as the sender has made it. Not static: verified once. */
__attribute__((noinline)) int oak_answer_too_big(struct __sk_buff *skb, struct oak_pkt *p, __u32 mtu)
{
	int v4, verdict = oak_dropped(skb, OAK_DROP_TOO_BIG);

	if (!p || !oak_may_answer(skb, p))
		return verdict;
	v4 = p->family == OAK_V4;
	if (!oak_answer_allowed(OAK_ERRORS_TO | p->where, OAK_ERRORS_PER_SECOND) ||
	    oak_make_error(skb, p, v4 ? OAK_ICMP_UNREACHABLE : OAK_ICMPV6_TOO_BIG, v4 ? OAK_ICMP_TOO_BIG : 0, mtu))
		return verdict;
	oak_stat(skb, OAK_STAT_ANSWERED);
	return oak_deliver(skb, p->where);
}

#endif
