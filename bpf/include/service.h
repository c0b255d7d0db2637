/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: what a container sends to a service address or an Instance IP, from the first packet of a flow to the last. */
#ifndef OAK_SERVICE_H
#define OAK_SERVICE_H

#include "answer.h"
#include "conntrack.h"
#include "count.h"
#include "exposed.h"
#include "forward.h"
#include "opening.h"
#include "policy.h"
#include "upcall.h"

/* oak_open_local makes the entries of a flow that a container of this worker opens. Returns a drop reason, or 0, or OAK_TAKEN. Not static: the verifier walks
 * through its loop once, not for every way that leads here, which is most of the time that a start of NetManager takes. */
__attribute__((noinline)) int oak_open_local(struct oak_pkt *p, struct oak_endpoint *ep, __u32 index, __u32 held)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_backend *b = bpf_map_lookup_elem(&backends, &index);
	struct oak_addr src, dst;
	__u16 plain = 0;
	int v4;

	if (!s || !b || !p || !ep)
		return OAK_DROP_NO_BACKEND;
	v4 = p->family == OAK_V4;
	if (v4 ? !b->ns4 : oak_addr_is_zero(&b->ns6))
		return OAK_DROP_NO_BACKEND; /* it has no address of this family */
	s->fwd_key = p->key;
	if (p->replaces)
		oak_ct_forget();
	p->replaces = 0; /* should this be tried again: another processor may have opened the flow by then */
	if (oak_share_used(ep->ifindex, p->family))
		return OAK_DROP_FLOW_SHARE;
	src = v4 ? ep->inst[OAK_V4] : ep->inst[OAK_V6];
	if (v4)
		oak_addr_set4(&dst, b->ns4);
	else
		dst = b->ns6;
	s->rev_key.src = dst;
	s->rev_key.dst = src;
	s->rev_key.sport = p->key.dport;
	s->rev_key.dport = p->key.sport;
	s->rev_key.zone = oak_zone(p->key.zone >> 24, b->peer ? OAK_FROM_PEER | b->peer : b->ifindex);
	if (oak_reply_key(s))
		return OAK_DROP_PORT_EXHAUSTED;

	__builtin_memset(&s->fwd, 0, sizeof(s->fwd));
	__builtin_memset(&s->rev, 0, sizeof(s->rev));
	s->fwd.t.src = src;
	s->fwd.t.dst = dst;
	s->fwd.t.sport = s->rev_key.dport;
	s->fwd.t.dport = p->key.dport;
	s->fwd.c.flags = OAK_CT_REWRITE | (b->peer ? OAK_CT_TUNNEL : 0) | (held ? OAK_CT_HELD : 0);
	s->fwd.c.to = b->peer ? b->peer : b->ifindex;
	oak_tag(s->fwd.c.tag, b->tag);
	s->fwd.c.backend = index;
	s->fwd.c.generation = b->slot;

	s->rev.t.src = p->key.dst;
	s->rev.t.dst = p->key.src;
	s->rev.t.sport = p->key.dport;
	s->rev.t.dport = p->key.sport;
	if (ep->flags & OAK_ENDPOINT_HOST)
		plain = OAK_CT_PLAIN;
	s->rev.c.flags = OAK_CT_REWRITE | OAK_CT_REPLY | (b->peer ? OAK_CT_REMOTE : 0) | plain;
	s->rev.c.to = ep->ifindex;
	oak_tag(s->rev.c.tag, b->tag);
	oak_ct_stamp(s);
	return oak_ct_insert(s);
}

/* oak_backend_gone reports whether the instance that the flow was given is there no more. */
static __always_inline int oak_backend_gone(const struct oak_ct *c)
{
	__u32 index = c->backend;
	struct oak_backend *b;

	if (!index)
		return 0;
	b = bpf_map_lookup_elem(&backends, &index);
	return !b || b->slot != c->generation || !b->generation;
}

/* oak_open_flow opens the flow of a container's packet whose key is wide. Not static: verified once. Returns a verdict, or OAK_OPENED. */
__attribute__((noinline)) int oak_open_flow(struct __sk_buff *skb, struct oak_pkt *p, int reinjected)
{
	struct oak_endpoint *ep;
	struct oak_vip *vip;
	struct oak_addr dst;
	__u32 ifindex, index = 0;
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	if (!p->may_open)
		return oak_answer(skb, p, OAK_DROP_NO_FLOW);
	ifindex = p->where;
	ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	if (!ep)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	dst = p->key.dst;
	vip = bpf_map_lookup_elem(&vips, &dst);
	if (!vip && bpf_map_lookup_elem(&own_addrs, &dst)) {
		reason = oak_to_exposed_flow(p);
		if (!reason)
			oak_step(skb, p, OAK_STEP_OPENED, 0, 0);
		return reason ? oak_answer(skb, p, reason) : OAK_OPENED;
	}
	if (reinjected) {
		if (!vip)
			return oak_answer(skb, p, OAK_DROP_UNRESOLVED);
	} else if (!vip || !oak_pending_settled(&dst)) {
		return oak_upcall(skb, &dst, 0, 0);
	}
	oak_step(skb, p, OAK_STEP_SERVICE, vip->service, vip->policy);
	reason = oak_pick(vip, p->family, &index);
	if (!reason) {
		oak_step(skb, p, OAK_STEP_BACKEND, index, 0);
		reason = OAK_TAKEN;
		for (int i = 0; i < OAK_OPEN_TRIES && reason == OAK_TAKEN; i++)
			reason = oak_open_local(p, ep, index, reinjected);
		if (reason == OAK_TAKEN)
			reason = OAK_DROP_PORT_EXHAUSTED;
	}
	if (!reason)
		oak_step(skb, p, OAK_STEP_OPENED, 0, 0);
	return reason ? oak_answer(skb, p, reason) : OAK_OPENED;
}

/* oak_finish forwards a packet whose flow has been opened, where that is what result says. */
static __always_inline int oak_finish(struct __sk_buff *skb, struct oak_pkt *p, int result, const int family)
{
	void *e;

	if (result != OAK_OPENED)
		return result;
	e = oak_entry(p, family);
	return e ? oak_forward(skb, p, e, family) : oak_dropped(skb, OAK_DROP_CONNTRACK_FULL);
}

/* oak_of_flow judges a packet of a container whose flow is known: one that it has opened, or that was opened towards it. Returns a verdict, or
 * OAK_OPENED, or OAK_OPEN if it begins another flow on the same key. */
static __always_inline int oak_of_flow(struct __sk_buff *skb, struct oak_pkt *p, void *e, int reinjected, const int family)
{
	struct oak_ct *c = oak_common(e, family);
	struct oak_backend *b;
	__u32 index = c->backend;

	if (p->tcp == OAK_TCP_SYN) {
		oak_widen(p, family);
		if (oak_ct_ended(&p->key))
			return OAK_OPEN;
	}
	if (c->flags & OAK_CT_DEAD)
		return oak_answer(skb, p, OAK_DROP_BACKEND_GONE);
	if (c->flags & OAK_CT_HELD && !reinjected) {
		oak_widen(p, family);
		if (!oak_pending_settled(&p->key.dst))
			return oak_upcall(skb, &p->key.dst, 0, 0);
		c->flags &= ~OAK_CT_HELD;
	}
	if (index) {
		b = bpf_map_lookup_elem(&backends, &index);
		if (!b || b->slot != c->generation || !b->generation) {
			oak_widen(p, family);
			return p->may_open ? OAK_OPEN : oak_answer(skb, p, OAK_DROP_BACKEND_GONE);
		}
	}
	return oak_forward(skb, p, e, family);
}

/* oak_by_flow handles a packet of a container whose flow's entry is e. Returns a verdict. */
static __always_inline int oak_by_flow(struct __sk_buff *skb, struct oak_pkt *p, void *e, int reinjected, const int family)
{
	int result = oak_of_flow(skb, p, e, reinjected, family);

	if (result != OAK_OPEN)
		return result;
	oak_widen(p, family);
	p->replaces = 1;
	return oak_finish(skb, p, oak_open_flow(skb, p, reinjected), family);
}

#endif
