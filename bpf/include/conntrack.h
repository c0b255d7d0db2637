/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Conntrack: one entry a direction, keyed by the packet as it arrives, holding all that its packets need.
 *
 * A flow begins in new_flows (LRU) and moves to flows once both sides have taken part: TCP at the opener's acknowledgement, UDP
 * at the first answer. It moves back when TCP has ended. So a flood of half-open flows evicts none that lives.
 */
#ifndef OAK_CONNTRACK_H
#define OAK_CONNTRACK_H

#include "flowmap.h"
#include "health.h"
#include "parse.h"

#define OAK_NS_PER_S 1000000000ULL

/* oak_mirror makes the other direction's key from a direction's entry and zone. */
static __always_inline void oak_mirror(struct oak_key *other, const struct oak_ct6 *e, __u32 zone)
{
	__u32 from = e->c.to;

	if (e->c.flags & OAK_CT_TUNNEL)
		from |= OAK_FROM_PEER;
	if (e->c.flags & OAK_CT_OUT)
		from = OAK_FROM_OUTSIDE;
	other->src = e->t.dst;
	other->dst = e->t.src;
	other->sport = e->t.dport;
	other->dport = e->t.sport;
	other->zone = oak_zone(zone >> 24, from);
}

/* oak_ct_move copies a side's entry to the other kind of map. Another processor may have ended the flow meanwhile, and another flow taken
 * its place: an entry that does not lead to the other side is left alone. Returns 0 if it is there. */
static __always_inline int oak_ct_move(struct oak_scratch *s, const __u32 side, const __u32 into)
{
	struct oak_ct6 *e = side == OAK_FWD ? &s->fwd : &s->rev;
	struct oak_key mirror;

	if (oak_load(side))
		return -1;
	oak_mirror(&mirror, e, s->fwd_key.zone);
	if (!oak_key_eq(&mirror, side == OAK_FWD ? &s->rev_key : &s->fwd_key))
		return -1;
	if (into & OAK_INTO_FLOWS)
		e->c.flags |= OAK_CT_ESTABLISHED;
	else
		e->c.flags &= ~OAK_CT_ESTABLISHED;
	return oak_store(side, into);
}

/* oak_ct_promote moves both directions, or neither: if flows is full the flow stays where it is. */
static __always_inline void oak_ct_promote(struct oak_scratch *s)
{
	int there = s->rev.c.flags & OAK_CT_ESTABLISHED;

	if (oak_ct_move(s, OAK_FWD, OAK_INTO_FLOWS | OAK_IF_ABSENT))
		return;
	if (!there && oak_ct_move(s, OAK_REV, OAK_INTO_FLOWS | OAK_IF_ABSENT)) {
		oak_erase(OAK_FWD, OAK_INTO_FLOWS);
		return;
	}
	oak_erase(OAK_FWD, OAK_INTO_NEW);
	oak_erase(OAK_REV, OAK_INTO_NEW);
}

static __always_inline void oak_ct_demote(struct oak_scratch *s)
{
	if (!oak_ct_move(s, OAK_FWD, OAK_INTO_NEW))
		oak_erase(OAK_FWD, OAK_INTO_FLOWS);
	if (!oak_ct_move(s, OAK_REV, OAK_INTO_NEW))
		oak_erase(OAK_REV, OAK_INTO_FLOWS);
}

/* oak_ct_restore makes the reply's entry anew, which new_flows has evicted before its other direction. */
static __always_inline void oak_ct_restore(struct oak_scratch *s)
{
	__u32 *ifindex, from = s->fwd_key.zone & OAK_WHERE_MASK;
	struct oak_ct6 *rev = &s->rev;

	__builtin_memset(rev, 0, sizeof(*rev));
	rev->t.src = s->fwd_key.dst;
	rev->t.dst = s->fwd_key.src;
	rev->t.sport = s->fwd_key.dport;
	rev->t.dport = s->fwd_key.sport;
	__builtin_memcpy(rev->c.tag, s->fwd.c.tag, sizeof(rev->c.tag));
	rev->c.created = s->fwd.c.created;
	rev->c.last_seen = s->fwd.c.last_seen;
	if (from == OAK_FROM_OUTSIDE) {
		rev->c.flags = OAK_CT_REWRITE | OAK_CT_REPLY | OAK_CT_OUT;
	} else if (from & OAK_FROM_PEER) {
		rev->c.flags = OAK_CT_REPLY | OAK_CT_TUNNEL;
		rev->c.to = from & ~OAK_FROM_PEER;
	} else {
		ifindex = bpf_map_lookup_elem(&local, &s->fwd_key.src);
		if (!ifindex)
			return;
		rev->c.to = *ifindex;
		rev->c.flags = OAK_CT_REWRITE | OAK_CT_REPLY | (s->fwd.c.flags & OAK_CT_TUNNEL ? OAK_CT_REMOTE : 0) |
			       (s->fwd.c.flags & OAK_CT_PLAIN);
	}
	oak_store(OAK_REV, OAK_INTO_NEW | OAK_IF_ABSENT);
}

static __always_inline void oak_active(__u32 backend, int by)
{
	struct oak_load *l = bpf_map_lookup_elem(&loads, &backend);

	/* NetManager sets it from time to time to what it counts, which may be less. */
	if (backend && l && (by > 0 || l->active))
		__sync_fetch_and_add(&l->active, by);
}

/* oak_ct_ended reports whether the flow whose opener has this key has ended, whichever side has ended it: then the opener's SYN opens a new
 * one. */
__attribute__((noinline)) int oak_ct_ended(struct oak_key *at)
{
	struct oak_scratch *s = oak_scratch();

	if (!at || !s)
		return 0;
	s->fwd_key = *at;
	if (oak_load(OAK_FWD) || s->fwd.c.flags & OAK_CT_REPLY)
		return 0;
	if (s->fwd.c.seen & (OAK_TCP_FIN | OAK_TCP_RST))
		return 1;
	oak_mirror(&s->rev_key, &s->fwd, s->fwd_key.zone);
	return !oak_load(OAK_REV) && s->rev.c.seen & (OAK_TCP_FIN | OAK_TCP_RST);
}

/* oak_rtt_passive measures a TCP handshake whose SYN is answered now: fwd is the answer's side, rev that of the SYN. One that was sent twice
 * cannot be told from its copy (Karn). */
static __always_inline void oak_rtt_passive(struct oak_scratch *s)
{
	__u32 from = s->fwd_key.zone & OAK_WHERE_MASK, us = (__u32)(bpf_ktime_get_ns() / 1000) - s->rev.last_ack;

	if (from & OAK_FROM_PEER && s->rev.c.seen == OAK_TCP_SYN && s->rev.c.packets == 1 && us < 60000000)
		oak_rtt_sample(from & ~OAK_FROM_PEER, us ? us : 1);
}

/* oak_ct_transition moves the flow between the maps if this packet ends or establishes it. Rare; the common packet does not come here. */
__attribute__((noinline)) int oak_ct_transition(struct oak_key *at, __u32 tcp)
{
	struct oak_scratch *s = oak_scratch();
	__u8 proto, seen, both, flags;

	if (!at || !s)
		return 0;
	s->fwd_key = *at;
	if (oak_load(OAK_FWD))
		return 0;
	flags = s->fwd.c.flags;
	proto = s->fwd_key.zone >> 24;
	oak_mirror(&s->rev_key, &s->fwd, s->fwd_key.zone);
	if (oak_load(OAK_REV)) {
		if (!(flags & OAK_CT_REPLY))
			oak_ct_restore(s);
		return 0;
	}
	if (proto == IPPROTO_TCP) {
		seen = s->fwd.c.seen | s->rev.c.seen;
		both = s->fwd.c.seen & s->rev.c.seen;
		if (flags & OAK_CT_ESTABLISHED) {
			if (!(seen & OAK_TCP_RST || both & OAK_TCP_FIN))
				return 0;
			oak_active(s->fwd.c.backend | s->rev.c.backend, -1);
			oak_ct_demote(s);
			return 0;
		}
		if (flags & OAK_CT_REPLY) {
			if (tcp == (OAK_TCP_SYN | OAK_TCP_ACK))
				oak_rtt_passive(s);
			return 0;
		}
		if (!(tcp & OAK_TCP_ACK) || !(s->rev.c.seen & OAK_TCP_SYN) || seen & OAK_TCP_RST || both & OAK_TCP_FIN)
			return 0;
	} else if (proto != IPPROTO_UDP || !(flags & OAK_CT_REPLY)) {
		return 0;
	}
	oak_ct_promote(s);
	return 0;
}

/* oak_ct_account notes a packet in its direction's entry and, where it changes the flow's state, in the maps. */
static __always_inline void oak_ct_account(struct __sk_buff *skb, struct oak_pkt *p, struct oak_ct *c, __u32 *last_ack, const int family)
{
	__u32 segments = skb->gso_segs;

	c->last_seen = bpf_ktime_get_coarse_ns() / OAK_NS_PER_MS;
	c->packets += segments ? segments : 1;
	c->bytes += skb->len;
	if (p->quoted)
		return;
	if (p->tcp) {
		c->seen |= p->tcp;
		if (p->tcp & OAK_TCP_ACK)
			*last_ack = p->ack;
	}
	if (!(c->flags & OAK_CT_ESTABLISHED) || p->tcp & (OAK_TCP_FIN | OAK_TCP_RST)) {
		oak_widen(p, family);
		oak_ct_transition(&p->key, p->tcp);
	}
}

/* oak_ct_reply_free reports whether the reply key of s may be taken: it is free, or was this very flow's. What s knows of the reply is
 * lost. Not static: verified once, not for each turn of a loop. */
__attribute__((noinline)) int oak_ct_reply_free(void)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key mirror;

	if (!s)
		return 0;

	/* Who calls its own Instance IP from the port that it calls would be its own answer. */
	if (oak_key_eq(&s->fwd_key, &s->rev_key))
		return 0;
	if (oak_load(OAK_REV))
		return 1;
	oak_mirror(&mirror, &s->rev, s->rev_key.zone);
	return oak_key_eq(&mirror, &s->fwd_key);
}

/* oak_ct_forget removes the flow whose opener has the key of s, both directions. All else that s knows is lost. */
__attribute__((noinline)) int oak_ct_forget(void)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key mirror;

	if (!s || oak_load(OAK_FWD))
		return 0;
	if (!(s->fwd.c.seen & (OAK_TCP_FIN | OAK_TCP_RST)))
		oak_active(s->fwd.c.backend, -1);
	oak_mirror(&s->rev_key, &s->fwd, s->fwd_key.zone);
	if (!oak_load(OAK_REV)) {
		oak_mirror(&mirror, &s->rev, s->rev_key.zone);
		if (oak_key_eq(&mirror, &s->fwd_key)) {
			oak_erase(OAK_REV, OAK_INTO_FLOWS);
			oak_erase(OAK_REV, OAK_INTO_NEW);
		}
	}
	oak_erase(OAK_FWD, OAK_INTO_FLOWS);
	oak_erase(OAK_FWD, OAK_INTO_NEW);
	return 0;
}

/* oak_ct_stamp fills what both directions of a flow that is being opened have in common. */
static __always_inline void oak_ct_stamp(struct oak_scratch *s)
{
	__u64 now = bpf_ktime_get_ns();

	s->fwd.c.created = s->rev.c.created = now / OAK_NS_PER_S;
	s->fwd.c.last_seen = s->rev.c.last_seen = now / OAK_NS_PER_MS;
	s->fwd.last_ack = now / 1000; /* until the first acknowledgement: for the round trip of the handshake */
}

/* oak_ct_insert writes both directions. If another processor has opened the flow just now, that one counts: callers have to look
 * the entry up. Returns a drop reason, or 0. */
static __always_inline int oak_ct_insert(struct oak_scratch *s)
{
	struct oak_key mirror;

	oak_erase(OAK_REV, OAK_INTO_FLOWS);
	if (oak_store(OAK_REV, OAK_INTO_NEW))
		return OAK_DROP_CONNTRACK_FULL;
	if (!oak_store(OAK_FWD, OAK_INTO_NEW | OAK_IF_ABSENT)) {
		oak_active(s->fwd.c.backend, 1);
		return 0;
	}
	if (oak_load(OAK_FWD)) {
		oak_erase(OAK_REV, OAK_INTO_NEW);
		return OAK_DROP_CONNTRACK_FULL;
	}
	oak_mirror(&mirror, &s->fwd, s->fwd_key.zone);
	if (!oak_key_eq(&mirror, &s->rev_key))
		oak_erase(OAK_REV, OAK_INTO_NEW);
	return 0;
}

#endif
