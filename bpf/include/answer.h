/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers: what a sender is told at once about a packet that goes nowhere. */
#ifndef OAK_ANSWER_H
#define OAK_ANSWER_H

#include "count.h"
#include "parse.h"

/* oak_too_big reports whether a packet, or what a card will cut out of it, is longer than mtu. */
static __always_inline int oak_too_big(struct __sk_buff *skb, const struct oak_pkt *p, __u32 mtu)
{
	__u32 segment = skb->gso_size;

	if (segment)
		return p->l4 - p->l3 + p->l4_head + segment > mtu;
	return skb->len - p->l3 > mtu;
}

/* oak_answer drops a packet of a container for a reason that its sender is told. */
static __always_inline int oak_answer(struct __sk_buff *skb, struct oak_pkt *p, __u32 reason)
{
	return oak_dropped(skb, reason);
}

/* oak_answer_too_big drops a packet that is longer than what the way carries, and says so. */
static __always_inline int oak_answer_too_big(struct __sk_buff *skb, struct oak_pkt *p, __u32 mtu)
{
	return oak_dropped(skb, OAK_DROP_TOO_BIG);
}

#endif
