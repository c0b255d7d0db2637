/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The uplink's side of a packet that comes without its outer headers, since the card's program has taken them off.
 *
 * What stands in front of a packet is lost when a program that writes to packets begins with one that somebody else looks at too, such as a
 * capture: the kernel copies the packet alone. So a program of its own, which writes to none, reads it first and goes on to one of two others.
 */
#ifndef OAK_CARDIN_H
#define OAK_CARDIN_H

#include "card.h"
#include "conntrack.h"
#include "count.h"
#include "tunnel.h"

/* oak_card_note takes down what stands in front of the packet, if the card's program has said it. Returns 0 if not: then the packet came as
 * it is, and is judged by its own addresses. */
static __always_inline int oak_card_note(struct __sk_buff *skb)
{
	struct oak_card *c = (void *)(long)skb->data_meta;
	struct oak_scratch *s = oak_scratch();

	if (!s)
		return 0;
	if ((void *)(c + 1) > (void *)(long)skb->data || c->magic != OAK_CARD_MAGIC || c->ifindex != skb->ifindex || c->tag >> 24 ||
	    c->outer >= OAK_FAMILIES || c->zero)
		return 0;
	s->card = *c;
	return 1;
}

/* oak_card_noted reads what was taken down, and wipes it out in front of the packet: such a packet may come by the first program again.
 * Returns 0 if there is nothing. */
static __always_inline int oak_card_noted(struct __sk_buff *skb, struct oak_card *told)
{
	struct oak_card *c = (void *)(long)skb->data_meta;
	struct oak_scratch *s = oak_scratch();

	if (!s || s->card.magic != OAK_CARD_MAGIC)
		return 0;
	*told = s->card;
	s->card.magic = 0;
	if ((void *)(c + 1) <= (void *)(long)skb->data)
		c->magic = 0;
	return 1;
}

/* oak_card_counted counts a packet as it came by wire: with the outer headers, one set of them if the kernel has coalesced it. */
static __always_inline void oak_card_counted(struct __sk_buff *skb, const struct oak_card *told, __u32 which)
{
	struct oak_counter *c = bpf_map_lookup_elem(&stats, &which);

	if (c) {
		c->packets++;
		c->bytes += skb->len + (told->outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6);
	}
}

#endif
