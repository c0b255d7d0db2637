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

static __always_inline struct oak_scratch *oak_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* oak_ct_copy copies a direction's entry out of its map. Another processor may end the flow meanwhile, and its memory be another
 * flow's at once: a copy that does not name the other direction is of no use. Returns 0 then. */
static __always_inline struct oak_ct *oak_ct_copy(const struct oak_ct *e, const struct oak_ct_key *other)
{
	struct oak_scratch *s = oak_scratch();

	if (!s)
		return 0;
	s->fwd = *e;
	return oak_ct_is_reverse(&s->fwd, other) ? &s->fwd : 0;
}

/* oak_ct_establish enters one direction into flows; the entry in new_flows stays. Returns 0 if it is there. */
static __always_inline int oak_ct_establish(const struct oak_ct_key *key, const struct oak_ct *e, const struct oak_ct_key *other)
{
	struct oak_ct *copy = oak_ct_copy(e, other);

	if (!copy)
		return -1;
	copy->flags |= OAK_CT_ESTABLISHED;
	return bpf_map_update_elem(&flows, key, copy, BPF_NOEXIST);
}

/* oak_ct_promote moves both directions, or neither: if flows is full the flow stays where it is. */
static __always_inline void oak_ct_promote(const struct oak_ct_key *key, const struct oak_ct *e, const struct oak_ct_key *rev_key,
					   const struct oak_ct *rev)
{
	if (oak_ct_establish(key, e, rev_key))
		return;
	if (!(rev->flags & OAK_CT_ESTABLISHED) && oak_ct_establish(rev_key, rev, key)) {
		bpf_map_delete_elem(&flows, key);
		return;
	}
	bpf_map_delete_elem(&new_flows, key);
	bpf_map_delete_elem(&new_flows, rev_key);
}

static __always_inline void oak_ct_demote(const struct oak_ct_key *key, const struct oak_ct *e, const struct oak_ct_key *other)
{
	struct oak_ct *copy = oak_ct_copy(e, other);

	if (!copy)
		return;
	copy->flags &= ~OAK_CT_ESTABLISHED;
	bpf_map_update_elem(&new_flows, key, copy, BPF_ANY);
	bpf_map_delete_elem(&flows, key);
}

/* oak_ct_restore makes the reply's entry anew, which new_flows has evicted before its other direction. */
static __always_inline void oak_ct_restore(const struct oak_ct_key *key, const struct oak_ct *e, const struct oak_ct_key *rev_key)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_ct *rev;
	__u32 *ifindex;

	if (!s)
		return;
	rev = &s->rev;
	__builtin_memset(rev, 0, sizeof(*rev));
	rev->src = key->dst;
	rev->dst = key->src;
	rev->sport = key->dport;
	rev->dport = key->sport;
	rev->peer = e->peer;
	rev->tag = e->tag;
	rev->created = e->created;
	rev->last_seen = e->last_seen;
	rev->rsrc = key->src;
	rev->rdst = key->dst;
	rev->rsport = key->sport;
	rev->rdport = key->dport;
	if (e->flags & OAK_CT_REMOTE) {
		rev->flags = OAK_CT_REPLY | OAK_CT_TUNNEL;
	} else {
		ifindex = bpf_map_lookup_elem(&local, &key->src);
		if (!ifindex)
			return;
		rev->ifindex = *ifindex;
		rev->flags = OAK_CT_REWRITE | OAK_CT_REPLY | (e->flags & OAK_CT_TUNNEL ? OAK_CT_REMOTE : 0);
	}
	bpf_map_update_elem(&new_flows, rev_key, rev, BPF_NOEXIST);
}

/* oak_ct_closed reports whether a TCP flow has ended, judged by one direction and its reverse. */
static __always_inline int oak_ct_closed(const struct oak_ct *e, const struct oak_ct *rev)
{
	return (e->seen | rev->seen) & OAK_TCP_RST || (e->seen & rev->seen & OAK_TCP_FIN);
}

/* oak_ct_reopens reports whether a packet opens a new flow on the key of one that has ended, whichever side has ended it. */
static __always_inline int oak_ct_reopens(const struct oak_pkt *p, const struct oak_ct *e)
{
	struct oak_ct_key rev_key;
	struct oak_ct *rev;

	if (p->key.proto != IPPROTO_TCP || !p->may_open || e->flags & OAK_CT_REPLY)
		return 0;
	if (e->seen & (OAK_TCP_FIN | OAK_TCP_RST))
		return 1;
	oak_ct_reverse_key(e, p->key.proto, &rev_key);
	rev = oak_ct_lookup(&rev_key);
	return rev && rev->seen & (OAK_TCP_FIN | OAK_TCP_RST);
}

/* oak_ct_transition moves the flow between the maps if this packet ends or establishes it. Rare; the common packet does not come here. */
__attribute__((noinline)) int oak_ct_transition(struct oak_ct_key *at, __u32 tcp)
{
	struct oak_ct_key key, rev_key;
	struct oak_ct *e, *rev;

	if (!at)
		return 0;
	key = *at; /* Linux 6.1 takes no key for a map out of an argument's memory */
	e = oak_ct_lookup(&key);
	if (!e)
		return 0;
	oak_ct_reverse_key(e, key.proto, &rev_key);
	rev = oak_ct_lookup(&rev_key);
	if (!rev) {
		if (!(e->flags & OAK_CT_REPLY))
			oak_ct_restore(&key, e, &rev_key);
		return 0;
	}
	switch (key.proto) {
	case IPPROTO_TCP:
		if (e->flags & OAK_CT_ESTABLISHED) {
			if (!oak_ct_closed(e, rev))
				return 0;
			oak_ct_demote(&key, e, &rev_key);
			oak_ct_demote(&rev_key, rev, &key);
			return 0;
		}
		if (e->flags & OAK_CT_REPLY || !(tcp & OAK_TCP_ACK) || !(rev->seen & OAK_TCP_SYN) || oak_ct_closed(e, rev))
			return 0;
		break;
	case IPPROTO_UDP:
		if (!(e->flags & OAK_CT_REPLY))
			return 0;
		break;
	default:
		return 0;
	}
	oak_ct_promote(&key, e, &rev_key, rev);
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
	} else if (!(e->flags & OAK_CT_ESTABLISHED)) {
		oak_ct_transition(&p->key, 0);
	}
}

/* oak_scratch_clear is for what is filled in piece by piece. */
static __always_inline struct oak_scratch *oak_scratch_clear(void)
{
	struct oak_scratch *s = oak_scratch();

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

/* oak_ct_forget removes the reply's entry of the flow that had the opener's key before, if its key was another: the flow went to
 * another instance, or had another port. */
static __always_inline void oak_ct_forget(const struct oak_ct_key *fwd_key)
{
	struct oak_ct *old = oak_ct_lookup(fwd_key), *rev;
	struct oak_ct_key rev_key;

	if (!old)
		return;
	oak_ct_reverse_key(old, fwd_key->proto, &rev_key);
	rev = oak_ct_lookup(&rev_key);
	if (rev && oak_ct_is_reverse(rev, fwd_key))
		oak_ct_delete(&rev_key);
}

/* oak_ct_insert writes both directions. If another processor has opened the flow just now, that one counts: callers have to look
 * the entry up. What the packet replaces is removed. Returns a drop reason, or 0. */
static __always_inline int oak_ct_insert(const struct oak_scratch *s, const struct oak_pkt *p)
{
	struct oak_ct *other;

	if (p->replaces) {
		oak_ct_forget(&s->fwd_key);
		oak_ct_delete(&s->fwd_key);
	}
	bpf_map_delete_elem(&flows, &s->rev_key);
	if (bpf_map_update_elem(&new_flows, &s->rev_key, &s->rev, BPF_ANY))
		return OAK_DROP_CONNTRACK_FULL;
	if (!bpf_map_update_elem(&new_flows, &s->fwd_key, &s->fwd, BPF_NOEXIST))
		return 0;
	other = oak_ct_lookup(&s->fwd_key);
	if (!other || !oak_ct_is_reverse(other, &s->rev_key))
		bpf_map_delete_elem(&new_flows, &s->rev_key);
	return other ? 0 : OAK_DROP_CONNTRACK_FULL;
}

#endif
