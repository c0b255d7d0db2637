/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The states that a flow's packets bring it to. All in place, in the two entries, since a short connection is made of little else: each is
 * found from the other by the mirror of its translation.
 */
#ifndef OAK_STATE_H
#define OAK_STATE_H

#include "conntrack.h"

/* An entry is a struct oak_ct4 or oak_ct6 by family. */
static __always_inline void *oak_entry(const struct oak_pkt *p, const int family)
{
	return family == OAK_V4 ? (void *)oak_flow4(&p->key4) : (void *)oak_flow6(&p->key);
}

static __always_inline struct oak_ct *oak_common(void *e, const int family)
{
	oak_keep(e);
	return family == OAK_V4 ? &((struct oak_ct4 *)e)->c : &((struct oak_ct6 *)e)->c;
}

static __always_inline __u32 *oak_last_ack(void *e, const int family)
{
	return family == OAK_V4 ? &((struct oak_ct4 *)e)->last_ack : &((struct oak_ct6 *)e)->last_ack;
}

/* oak_opposite_key makes the key of the other direction of a packet's flow, large for both families. */
static __always_inline void oak_opposite_key(struct oak_key *k, const struct oak_pkt *p, const void *e, const int family)
{
	const struct oak_ct4 *e4 = e;
	const struct oak_ct6 *e6 = e;

	if (family == OAK_V4) {
		oak_addr_set4(&k->src, e4->t.dst);
		oak_addr_set4(&k->dst, e4->t.src);
		k->sport = e4->t.dport;
		k->dport = e4->t.sport;
		k->zone = oak_zone(p->proto, oak_origin(&e4->c));
	} else {
		k->src = e6->t.dst;
		k->dst = e6->t.src;
		k->sport = e6->t.dport;
		k->dport = e6->t.sport;
		k->zone = oak_zone(p->proto, oak_origin(&e6->c));
	}
}

static __always_inline void *oak_opposite(const struct oak_pkt *p, const void *e, const int family)
{
	const struct oak_ct4 *e4 = e;

	if (family == OAK_V4) {
		struct oak_key4 k = {
			.src = e4->t.dst, .dst = e4->t.src, .sport = e4->t.dport, .dport = e4->t.sport, .zone = oak_zone(p->proto, oak_origin(&e4->c))};

		return oak_flow4(&k);
	} else {
		struct oak_key k;

		oak_opposite_key(&k, p, e, family);
		return oak_flow6(&k);
	}
}

/* oak_rtt_passive measures a TCP handshake whose SYN, of the flow's entry, is answered by this packet. One that was sent twice cannot be told
 * from its copy (Karn). */
static __always_inline void oak_rtt_passive(const struct oak_pkt *p, const struct oak_ct *opener, __u32 sent)
{
	__u32 us;

	if (!(p->where & OAK_FROM_PEER) || opener->seen != OAK_TCP_SYN || opener->packets != 1)
		return;
	us = (__u32)(bpf_ktime_get_ns() / 1000) - sent;
	if (us < 60000000)
		oak_rtt_sample(p->where & ~OAK_FROM_PEER, us ? us : 1);
}

/* oak_transition notes that a flow is established or has ended, if this packet makes it so. Few packets come here. */
static __always_inline void oak_transition(struct oak_pkt *p, void *e, const int family)
{
	struct oak_ct *c = oak_common(e, family), *r, *first;
	void *other = oak_opposite(p, e, family);
	struct oak_key opener;
	__u32 whose, was;

	if (!other || c->flags & OAK_CT_CLOSED)
		return;
	r = oak_common(other, family);
	first = c->flags & OAK_CT_REPLY ? r : c;
	whose = oak_whose(c->flags & OAK_CT_REPLY ? oak_origin(c) : p->where, first->to);
	if (p->proto == IPPROTO_UDP) {
		if (!(c->flags & OAK_CT_REPLY))
			return;
	} else if (p->proto != IPPROTO_TCP) {
		return;
	} else if ((c->seen | r->seen) & OAK_TCP_RST || c->seen & r->seen & OAK_TCP_FIN) {
		was = oak_mark(first, OAK_CT_CLOSED);
		c->flags |= OAK_CT_CLOSED;
		r->flags |= OAK_CT_CLOSED;
		if (was & OAK_CT_CLOSED)
			return;
		oak_inactive(first);
		/* A flow that was not established is in the other ring still. */
		if (!(was & OAK_CT_ESTABLISHED))
			return;
		oak_charge(whose, family, -1);
		if (c->flags & OAK_CT_REPLY) {
			oak_opposite_key(&opener, p, e, family);
			oak_ended(&opener, first->created);
		} else {
			oak_widen(p, family);
			oak_ended(&p->key, first->created);
		}
		return;
	} else if (c->flags & OAK_CT_REPLY) {
		if (p->tcp == (OAK_TCP_SYN | OAK_TCP_ACK))
			oak_rtt_passive(p, r, *oak_last_ack(other, family));
		return;
	} else if (!(p->tcp & OAK_TCP_ACK) || !(r->seen & OAK_TCP_SYN)) {
		return;
	}
	was = oak_mark(first, OAK_CT_ESTABLISHED);
	c->flags |= OAK_CT_ESTABLISHED;
	r->flags |= OAK_CT_ESTABLISHED;
	if (!(was & OAK_CT_ESTABLISHED))
		oak_charge(whose, family, 1);
}

/* oak_account notes a packet in its direction's entry and, where it changes the flow's state, in both. */
static __always_inline void oak_account(struct __sk_buff *skb, struct oak_pkt *p, void *e, const int family)
{
	struct oak_ct *c = oak_common(e, family);
	__u32 segments = skb->gso_segs;

	c->last_seen = bpf_ktime_get_coarse_ns() >> OAK_SEEN_SHIFT;
	c->packets += segments ? segments : 1;
	c->bytes += skb->len;
	if (p->quoted)
		return;
	if (p->tcp) {
		c->seen |= p->tcp;
		if (p->tcp & OAK_TCP_ACK)
			*oak_last_ack(e, family) = p->ack;
	}
	if (p->tcp & (OAK_TCP_FIN | OAK_TCP_RST) || (!(c->flags & (OAK_CT_ESTABLISHED | OAK_CT_CLOSED)) && p->tcp != OAK_TCP_SYN))
		oak_transition(p, e, family);
}

#endif
