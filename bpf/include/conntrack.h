/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Conntrack: one entry a direction, keyed by the packet as it arrives, holding all that its packets need.
 *
 * A flow begins in new_flows (LRU) and moves to flows once both sides have taken part: TCP at the opener's acknowledgement, UDP
 * at the first answer. It moves back when TCP has ended. So a flood of half-open flows evicts none that lives.
 */
#ifndef OAK_CONNTRACK_H
#define OAK_CONNTRACK_H

#include "maps.h"
#include "parse.h"

static __always_inline struct oak_ct *oak_ct_lookup(const struct oak_ct_key *key)
{
	struct oak_ct *e = bpf_map_lookup_elem(&flows, key);

	return e ? e : bpf_map_lookup_elem(&new_flows, key);
}

static __always_inline void oak_ct_delete(const struct oak_ct_key *key)
{
	bpf_map_delete_elem(&flows, key);
	bpf_map_delete_elem(&new_flows, key);
}

static __always_inline void oak_ct_reverse_key(const struct oak_ct *e, __u8 proto, struct oak_ct_key *rev)
{
	__builtin_memset(rev, 0, sizeof(*rev));
	rev->src = e->rsrc;
	rev->dst = e->rdst;
	rev->sport = e->rsport;
	rev->dport = e->rdport;
	rev->proto = proto;
}

static __always_inline int oak_ct_is_reverse(const struct oak_ct *e, const struct oak_ct_key *key)
{
	return e->rsport == key->sport && e->rdport == key->dport && oak_addr_eq(&e->rsrc, &key->src) &&
	       oak_addr_eq(&e->rdst, &key->dst);
}

/* Moves one direction; if the target is full the entry stays where it is. */
static __always_inline void oak_ct_promote(const struct oak_ct_key *key, struct oak_ct *e)
{
	e->flags |= OAK_CT_ESTABLISHED;
	if (bpf_map_update_elem(&flows, key, e, BPF_ANY)) {
		e->flags &= ~OAK_CT_ESTABLISHED;
		return;
	}
	bpf_map_delete_elem(&new_flows, key);
}

static __always_inline void oak_ct_demote(const struct oak_ct_key *key, struct oak_ct *e)
{
	e->flags &= ~OAK_CT_ESTABLISHED;
	bpf_map_update_elem(&new_flows, key, e, BPF_ANY);
	bpf_map_delete_elem(&flows, key);
}

/* oak_ct_closed reports whether a TCP flow has ended, judged by one direction and its reverse. */
static __always_inline int oak_ct_closed(const struct oak_ct *e, const struct oak_ct *rev)
{
	return (e->seen | rev->seen) & OAK_TCP_RST || (e->seen & rev->seen & OAK_TCP_FIN);
}

/* oak_ct_transition moves the flow between the maps if this packet ends or establishes it. Rare; the common packet does not come here. */
static __attribute__((noinline)) int oak_ct_transition(struct oak_ct_key *key, __u32 tcp)
{
	struct oak_ct_key rev_key;
	struct oak_ct *e, *rev;

	if (!key)
		return 0;
	e = oak_ct_lookup(key);
	if (!e)
		return 0;
	oak_ct_reverse_key(e, key->proto, &rev_key);
	rev = oak_ct_lookup(&rev_key);
	if (!rev)
		return 0;
	if (key->proto == IPPROTO_TCP) {
		if (e->flags & OAK_CT_ESTABLISHED) {
			if (!oak_ct_closed(e, rev))
				return 0;
			oak_ct_demote(key, e);
			oak_ct_demote(&rev_key, rev);
			return 0;
		}
		if (e->flags & OAK_CT_REPLY || !(tcp & OAK_TCP_ACK) || !(rev->seen & OAK_TCP_SYN) || oak_ct_closed(e, rev))
			return 0;
	} else if (!(e->flags & OAK_CT_REPLY)) {
		return 0;
	}
	oak_ct_promote(key, e);
	oak_ct_promote(&rev_key, rev);
	return 0;
}

/* oak_ct_account notes a packet in its direction's entry and, where it changes the flow's state, in the maps. */
static __always_inline void oak_ct_account(struct __sk_buff *skb, struct oak_pkt *p, struct oak_ct *e)
{
	__u32 segments = skb->gso_segs;

	e->last_seen = bpf_ktime_get_coarse_ns();
	e->packets += segments ? segments : 1;
	e->bytes += skb->len;
	if (p->key.proto == IPPROTO_TCP) {
		e->seen |= p->tcp;
		e->last_ack = p->ack;
		if (!(e->flags & OAK_CT_ESTABLISHED) || p->tcp & (OAK_TCP_FIN | OAK_TCP_RST))
			oak_ct_transition(&p->key, p->tcp);
	} else if (p->key.proto == IPPROTO_UDP && !(e->flags & OAK_CT_ESTABLISHED)) {
		oak_ct_transition(&p->key, 0);
	}
}

static __always_inline struct oak_scratch *oak_scratch(void)
{
	__u32 zero = 0;
	struct oak_scratch *s = bpf_map_lookup_elem(&scratch, &zero);

	if (s)
		__builtin_memset(s, 0, sizeof(*s));
	return s;
}

/* oak_ct_pair fills what both directions of a flow that is being opened have in common: each other's keys and the time. */
static __always_inline void oak_ct_pair(struct oak_scratch *s)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	s->fwd.created = s->rev.created = s->fwd.last_seen = s->rev.last_seen = now;
	s->fwd.rsrc = s->rev_key.src;
	s->fwd.rdst = s->rev_key.dst;
	s->fwd.rsport = s->rev_key.sport;
	s->fwd.rdport = s->rev_key.dport;
	s->rev.rsrc = s->fwd_key.src;
	s->rev.rdst = s->fwd_key.dst;
	s->rev.rsport = s->fwd_key.sport;
	s->rev.rdport = s->fwd_key.dport;
}

/* oak_ct_reply_free reports whether the reply key of s may be taken: it is free, or was this very flow's. */
static __always_inline int oak_ct_reply_free(const struct oak_scratch *s)
{
	struct oak_ct *taken = oak_ct_lookup(&s->rev_key);

	return !taken || oak_ct_is_reverse(taken, &s->fwd_key);
}

/* oak_ct_insert writes both directions. Returns a drop reason, or 0. */
static __always_inline int oak_ct_insert(const struct oak_scratch *s)
{
	oak_ct_delete(&s->rev_key);
	oak_ct_delete(&s->fwd_key);
	if (bpf_map_update_elem(&new_flows, &s->rev_key, &s->rev, BPF_ANY))
		return OAK_DROP_CONNTRACK_FULL;
	if (bpf_map_update_elem(&new_flows, &s->fwd_key, &s->fwd, BPF_ANY)) {
		bpf_map_delete_elem(&new_flows, &s->rev_key);
		return OAK_DROP_CONNTRACK_FULL;
	}
	return 0;
}

#endif
