/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: what a container sends to a service address or an Instance IP, from the first packet of a flow to the last. */
#ifndef OAK_SERVICE_H
#define OAK_SERVICE_H

#include "conntrack.h"
#include "count.h"
#include "forward.h"
#include "upcall.h"

#define OAK_PORT_TRIES 32

static __always_inline int oak_backend_usable(const struct oak_backend *b)
{
	struct oak_peer *peer;

	if (!b->generation)
		return 0;
	if (!b->peer)
		return 1;
	peer = bpf_map_lookup_elem(&peers, &b->peer);
	return peer && peer->state == OAK_PEER_UP;
}

/* oak_next takes the service's instances in turn and passes over those that cannot be reached. Returns the index of a backend, or 0.
 * Closest and underutilized choose like round robin until their measurements exist. Not static: verified once, for any service. */
__attribute__((noinline)) __u32 oak_next(__u32 service)
{
	struct oak_service *s = bpf_map_lookup_elem(&services, &service);
	__u32 *cursor = bpf_map_lookup_elem(&cursors, &service);
	__u32 count;

	if (!s || !cursor)
		return 0;
	count = s->count;
	if (!count || count > OAK_MAX_BACKENDS_PER_SERVICE)
		return 0;
	for (int i = 0; i < OAK_MAX_BACKENDS_PER_SERVICE; i++) {
		struct oak_backend *b;
		__u32 slot, index;

		if (i >= count)
			break;
		slot = __sync_fetch_and_add(cursor, 1) % count;
		/* The compiler knows that slot is in bounds and would leave the check out that the verifier wants to see. */
		asm volatile("" : "+r"(slot));
		if (slot >= OAK_MAX_BACKENDS_PER_SERVICE)
			return 0;
		index = s->backends[slot];
		b = bpf_map_lookup_elem(&backends, &index);
		if (b && oak_backend_usable(b))
			return index;
	}
	return 0;
}

static __always_inline int oak_pick(const struct oak_vip *vip, __u32 *index)
{
	if (vip->policy == OAK_POLICY_NONE)
		return OAK_DROP_NO_SERVICE;
	if (vip->policy == OAK_POLICY_INSTANCE) {
		struct oak_backend *b;

		*index = vip->backend;
		b = bpf_map_lookup_elem(&backends, index);
		return b && oak_backend_usable(b) ? 0 : OAK_DROP_NO_BACKEND;
	}
	*index = oak_next(vip->service);
	return *index ? 0 : OAK_DROP_NO_BACKEND;
}

/* oak_reply_key finds a key under which the answers can be told from those of other flows: the caller's own port, or another one
 * if the same socket already talks to that instance under another address of it. Returns a drop reason, or 0. */
static __always_inline int oak_reply_key(struct oak_scratch *s)
{
	__u16 port = bpf_ntohs(s->fwd_key.sport);

	for (int i = 0; i < OAK_PORT_TRIES; i++) {
		if (oak_ct_reply_free(s)) {
			s->fwd.sport = s->rev_key.dport;
			return 0;
		}
		/* Into the dynamic range of RFC 6335, away from what the socket's owner chose. */
		port = 49152 | ((port + bpf_get_prandom_u32()) & 0x3fff);
		s->rev_key.dport = bpf_htons(port);
	}
	return OAK_DROP_PORT_EXHAUSTED;
}

/* oak_open_local makes the entries of a flow that a container of this worker opens. Returns a drop reason, or 0. Not static: the verifier walks
 * through its loop once, not for every way that leads here, which is most of the time that a start of NetManager takes. */
__attribute__((noinline)) int oak_open_local(struct oak_pkt *p, struct oak_endpoint *ep, __u32 index, __u32 held)
{
	struct oak_scratch *s = oak_scratch_clear();
	struct oak_backend *b = bpf_map_lookup_elem(&backends, &index);
	int reason;

	if (!s || !b || !p || !ep)
		return OAK_DROP_NO_BACKEND;
	s->fwd_key = p->key;
	s->rev_key.src = b->ns[OAK_V4];
	s->rev_key.dst = ep->inst[OAK_V4];
	s->rev_key.sport = p->key.dport;
	s->rev_key.dport = p->key.sport;
	s->rev_key.proto = p->key.proto;
	reason = oak_reply_key(s);
	if (reason)
		return reason;

	s->fwd.src = ep->inst[OAK_V4];
	s->fwd.dst = b->ns[OAK_V4];
	s->fwd.dport = p->key.dport;
	s->fwd.flags = OAK_CT_REWRITE | (b->peer ? OAK_CT_TUNNEL : 0) | (held ? OAK_CT_HELD : 0);
	s->fwd.ifindex = b->ifindex;
	s->fwd.peer = b->peer;
	s->fwd.tag = b->tag;
	s->fwd.backend = index;
	s->fwd.generation = b->generation;

	s->rev.src = p->key.dst;
	s->rev.dst = p->key.src;
	s->rev.sport = p->key.dport;
	s->rev.dport = p->key.sport;
	s->rev.flags = OAK_CT_REWRITE | OAK_CT_REPLY | (b->peer ? OAK_CT_REMOTE : 0);
	s->rev.ifindex = ep->ifindex;
	s->rev.peer = b->peer;
	s->rev.tag = b->tag;
	oak_ct_pair(s);
	return oak_ct_insert(s, p);
}

/* oak_backend_gone reports whether the instance that the flow was given is there no more. */
static __always_inline int oak_backend_gone(const struct oak_ct *e)
{
	__u32 index = e->backend;
	struct oak_backend *b;

	if (!index)
		return 0;
	b = bpf_map_lookup_elem(&backends, &index);
	return !b || b->generation != e->generation;
}

static __always_inline int oak_open_flow(struct __sk_buff *skb, struct oak_endpoint *ep, struct oak_pkt *p, int reinjected)
{
	struct oak_vip *vip;
	struct oak_ct *e;
	__u32 index = 0;
	int reason;

	if (!p->may_open)
		return oak_dropped(skb, OAK_DROP_NO_FLOW);
	vip = bpf_map_lookup_elem(&vips, &p->key.dst);
	if (reinjected) {
		if (!vip)
			return oak_dropped(skb, OAK_DROP_UNRESOLVED);
	} else if (!vip || !oak_pending_settled(&p->key.dst)) {
		return oak_upcall(skb, &p->key.dst, 0, 0);
	}
	reason = oak_pick(vip, &index);
	if (!reason)
		reason = oak_open_local(p, ep, index, reinjected);
	if (reason)
		return oak_dropped(skb, reason);
	e = oak_ct_lookup(&p->key);
	if (!e)
		return oak_dropped(skb, OAK_DROP_CONNTRACK_FULL);
	return oak_forward(skb, p, e);
}

/* oak_from_container handles a packet of a local endpoint whose destination is a service address or Instance IP: a flow that it
 * opens or has opened, or an answer to a flow that was opened towards it. */
static __always_inline int oak_from_container(struct __sk_buff *skb, struct oak_endpoint *ep, struct oak_pkt *p, int reinjected)
{
	struct oak_ct *e = oak_ct_lookup(&p->key);

	p->replaces = !!e;
	if (!e || oak_ct_reopens(p, e))
		return oak_open_flow(skb, ep, p, reinjected);
	/* What arrives from a peer cannot be sent by a container; the key would say so, were it not for a forged entry. */
	if (e->flags & OAK_CT_REMOTE)
		return oak_dropped(skb, OAK_DROP_SPOOFED_SOURCE);
	if (e->flags & OAK_CT_HELD && !reinjected) {
		if (!oak_pending_settled(&p->key.dst))
			return oak_upcall(skb, &p->key.dst, 0, 0);
		e->flags &= ~OAK_CT_HELD;
	}
	if (oak_backend_gone(e)) {
		if (!p->may_open)
			return oak_dropped(skb, OAK_DROP_BACKEND_GONE);
		return oak_open_flow(skb, ep, p, reinjected);
	}
	return oak_forward(skb, p, e);
}

#endif
