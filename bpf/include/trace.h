/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tracing: what the programs decide about packets that a person wants to follow, one event a decision. Off, it costs each packet a look at
 * one word. Whether a packet is followed is decided once, when its headers have been read, and noted with what else is known of it.
 */
#ifndef OAK_TRACE_H
#define OAK_TRACE_H

#include <linux/pkt_cls.h>

#include "addr.h"
#include "maps.h"
#include "parse.h"

static __always_inline struct oak_trace *oak_trace(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&trace, &zero);
}

/* oak_followed returns the packet that the program on this processor has at hand, if it is followed. */
static __always_inline struct oak_pkt *oak_followed(void)
{
	__u32 zero = 0;
	struct oak_pkt *p = bpf_map_lookup_elem(&packet, &zero);

	return p && p->followed ? p : 0;
}

static __always_inline struct oak_told *oak_told(struct __sk_buff *skb, const struct oak_pkt *p, __u32 step, __u32 a, __u32 b)
{
	struct oak_told *e = bpf_ringbuf_reserve(&traces, sizeof(*e), 0);
	struct oak_trace *t;

	if (!e) {
		t = oak_trace();
		if (t)
			__sync_fetch_and_add(&t->lost, 1);
		return 0;
	}
	/* Reserved memory is not cleared. */
	__builtin_memset(e, 0, sizeof(*e));
	e->at = bpf_ktime_get_ns();
	e->packet = p->followed;
	e->ifindex = skb->ifindex;
	e->where = p->where;
	e->step = step;
	e->a = a;
	e->b = b;
	e->len = skb->len;
	e->family = p->family;
	e->proto = p->proto;
	e->tcp = p->tcp;
	e->piece = p->piece;
	return e;
}

static __always_inline void oak_told_key(struct oak_told *e, const struct oak_pkt *p)
{
	if (p->family == OAK_V4) {
		oak_addr_set4(&e->src, p->key4.src);
		oak_addr_set4(&e->dst, p->key4.dst);
		e->sport = p->key4.sport;
		e->dport = p->key4.dport;
		return;
	}
	e->src = p->key.src;
	e->dst = p->key.dst;
	e->sport = p->key.sport;
	e->dport = p->key.dport;
}

static __always_inline void oak_tell(struct __sk_buff *skb, struct oak_pkt *p, __u32 step, __u32 a, __u32 b)
{
	struct oak_told *e = oak_told(skb, p, step, a, b);

	if (e) {
		oak_told_key(e, p);
		bpf_ringbuf_submit(e, 0);
	}
	/* What comes last ends it: whoever drops a packet before its headers are read must not find the one before it. */
	if (step >= OAK_STEP_LAST)
		p->followed = 0;
}

/* oak_step_taken tells of one decision about the packet that is followed. What a and b mean is up to the step. */
__attribute__((noinline)) int oak_step_taken(struct __sk_buff *skb, __u32 step, __u32 a, __u32 b)
{
	struct oak_pkt *p = oak_followed();

	if (p)
		oak_tell(skb, p, step, a, b);
	return 0;
}

static __always_inline void oak_step(struct __sk_buff *skb, const struct oak_pkt *p, __u32 step, __u32 a, __u32 b)
{
	if (p->followed)
		oak_step_taken(skb, step, a, b);
}

/* oak_step_flow4 and oak_step_flow6 tell of the entry by which a packet is forwarded: its addresses are those after translation. */
__attribute__((noinline)) int oak_step_flow4(struct __sk_buff *skb, struct oak_ct4 *c)
{
	struct oak_pkt *p = oak_followed();
	struct oak_told *e;

	if (!p || !c)
		return 0;
	e = oak_told(skb, p, OAK_STEP_FLOW, c->c.flags, c->c.backend);
	if (!e)
		return 0;
	oak_addr_set4(&e->src, c->t.src);
	oak_addr_set4(&e->dst, c->t.dst);
	e->sport = c->t.sport;
	e->dport = c->t.dport;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

__attribute__((noinline)) int oak_step_flow6(struct __sk_buff *skb, struct oak_ct6 *c)
{
	struct oak_pkt *p = oak_followed();
	struct oak_told *e;

	if (!p || !c)
		return 0;
	e = oak_told(skb, p, OAK_STEP_FLOW, c->c.flags, c->c.backend);
	if (!e)
		return 0;
	e->src = c->t.src;
	e->dst = c->t.dst;
	e->sport = c->t.sport;
	e->dport = c->t.dport;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline int oak_among(const struct oak_addr *a, const struct oak_addr *list, __u32 count)
{
	if (!count)
		return 1;
	for (__u32 i = 0; i < OAK_TRACE_ADDRESSES; i++) {
		if (i >= count)
			break;
		if (oak_addr_eq(a, &list[i]))
			return 1;
	}
	return 0;
}

/* oak_trace_takes reports whether a packet passes the filter, as the opener's or as the answer. */
static __always_inline int oak_trace_takes(const struct oak_trace *t, const struct oak_told *k)
{
	if (t->proto && t->proto != k->proto)
		return 0;
	if ((!t->port[0] || t->port[0] == k->sport) && (!t->port[1] || t->port[1] == k->dport) && oak_among(&k->src, t->from, t->froms) &&
	    oak_among(&k->dst, t->to, t->tos))
		return 1;
	return (!t->port[0] || t->port[0] == k->dport) && (!t->port[1] || t->port[1] == k->sport) && oak_among(&k->dst, t->from, t->froms) &&
	       oak_among(&k->src, t->to, t->tos);
}

/* oak_trace_begin decides whether the packet at hand is followed, and tells of its arrival. */
__attribute__((noinline)) int oak_trace_begin(struct __sk_buff *skb, __u32 step)
{
	struct oak_trace *t = oak_trace();
	struct oak_told *e;
	struct oak_pkt *p;
	__u32 zero = 0;

	p = bpf_map_lookup_elem(&packet, &zero);
	if (!t || !p)
		return 0;
	if ((__s64)(t->until - bpf_ktime_get_ns()) < 0) {
		t->until = 0; /* whoever asked is gone */
		return 0;
	}
	if (t->sample > 1 && bpf_get_prandom_u32() % t->sample)
		return 0;
	p->followed = bpf_get_prandom_u32() | 1;
	e = oak_told(skb, p, step, 0, 0);
	if (!e) {
		p->followed = 0;
		return 0;
	}
	oak_told_key(e, p);
	if (!oak_trace_takes(t, e)) {
		p->followed = 0;
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* oak_told_unread returns what is to be told of a packet that is dropped before its headers were read, but for its addresses; or nothing,
 * unless everything is to be traced. */
static __always_inline struct oak_told *oak_told_unread(struct oak_trace *t, __u32 ifindex, __u32 reason, __u32 len)
{
	struct oak_told *e;

	if (!t || t->proto || t->port[0] || t->port[1] || t->froms || t->tos || (__s64)(t->until - bpf_ktime_get_ns()) < 0)
		return 0;
	if (t->sample > 1 && bpf_get_prandom_u32() % t->sample)
		return 0;
	e = bpf_ringbuf_reserve(&traces, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&t->lost, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->at = bpf_ktime_get_ns();
	e->packet = bpf_get_prandom_u32() | 1;
	e->ifindex = ifindex;
	e->step = OAK_STEP_DROP;
	e->a = reason;
	e->len = len;
	return e;
}

/* oak_trace_drop tells of a packet that is dropped: of one that is followed, and, if everything is to be traced, of one whose headers were
 * never read. */
static __always_inline int oak_trace_drop(struct __sk_buff *skb, __u32 reason)
{
	struct oak_trace *t = oak_trace();
	struct oak_pkt *p = oak_followed();
	struct oak_told *e;

	if (p) {
		oak_tell(skb, p, OAK_STEP_DROP, reason, 0);
		return 0;
	}
	e = oak_told_unread(t, skb->ifindex, reason, skb->len);
	if (!e)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		oak_addresses(skb, &e->src, &e->dst, OAK_V4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		e->family = OAK_V6;
		oak_addresses(skb, &e->src, &e->dst, OAK_V6);
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* oak_arrived is called once the headers of a packet have been read, as far as they could be. */
static __always_inline void oak_arrived(struct __sk_buff *skb, __u32 step)
{
	struct oak_trace *t = oak_trace();

	if (t && t->until)
		oak_trace_begin(skb, step);
}

#endif
