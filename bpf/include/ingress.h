/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ingress from peers: which packets of a peer may reach which endpoint. */
#ifndef OAK_INGRESS_H
#define OAK_INGRESS_H

#include "conntrack.h"
#include "count.h"
#include "forward.h"
#include "service.h"
#include "tunnel.h"
#include "upcall.h"

/* oak_reply_taken reports whether the reply key of s belongs to another flow that goes on. One of the same opener that lives at another
 * peer now, or lived there until now, does not: it is removed. */
static __always_inline int oak_reply_taken(struct oak_scratch *s)
{
	if (oak_ct_reply_free())
		return 0;
	s->saved_fwd = s->fwd_key;
	s->saved_rev = s->rev_key;
	oak_mirror(&s->fwd_key, &s->rev, s->rev_key.zone);
	if (!(s->fwd_key.zone & OAK_FROM_PEER) || !(s->rev.c.flags & OAK_CT_REPLY) || !oak_addr_eq(&s->fwd_key.src, &s->saved_fwd.src) ||
	    s->fwd_key.sport != s->saved_fwd.sport)
		return 1;
	oak_ct_forget();
	s->fwd_key = s->saved_fwd;
	s->rev_key = s->saved_rev;
	return 0;
}

/* oak_open_remote makes the entries of a flow that an instance of another worker opens. Returns a drop reason, or 0. */
__attribute__((noinline)) int oak_open_remote(struct oak_pkt *p, __u32 peer, __u32 held)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_endpoint *ep;
	struct oak_addr dst;
	__u32 *ifindex;
	int reason;

	if (!s || !p)
		return OAK_DROP_CONNTRACK_FULL;
	dst = p->key.dst;
	ifindex = bpf_map_lookup_elem(&local, &dst);
	ep = ifindex ? bpf_map_lookup_elem(&endpoints, ifindex) : 0;
	if (!ep)
		return OAK_DROP_NO_ENDPOINT;
	s->fwd_key = p->key;
	if (p->replaces)
		oak_ct_forget();
	p->replaces = 0; /* as in oak_open_local */
	if (oak_share_used(ep->ifindex, p->family))
		return OAK_DROP_FLOW_SHARE;
	s->rev_key.src = p->key.dst;
	s->rev_key.dst = p->key.src;
	s->rev_key.sport = p->key.dport;
	s->rev_key.dport = p->key.sport;
	s->rev_key.zone = oak_zone(p->key.zone >> 24, ep->ifindex);
	if (oak_reply_taken(s))
		return OAK_DROP_PORT_EXHAUSTED;

	__builtin_memset(&s->fwd, 0, sizeof(s->fwd));
	__builtin_memset(&s->rev, 0, sizeof(s->rev));
	s->fwd.t.src = p->key.src;
	s->fwd.t.dst = p->key.dst;
	s->fwd.t.sport = p->key.sport;
	s->fwd.t.dport = p->key.dport;
	s->fwd.c.flags = OAK_CT_REMOTE | (held ? OAK_CT_HELD : 0) | (ep->flags & OAK_ENDPOINT_HOST ? OAK_CT_PLAIN : 0);
	s->fwd.c.to = ep->ifindex;
	oak_tag(s->fwd.c.tag, ep->tag);

	s->rev.t.src = p->key.dst;
	s->rev.t.dst = p->key.src;
	s->rev.t.sport = p->key.dport;
	s->rev.t.dport = p->key.sport;
	s->rev.c.flags = OAK_CT_REPLY | OAK_CT_TUNNEL;
	s->rev.c.to = peer;
	oak_tag(s->rev.c.tag, ep->tag);
	oak_ct_stamp(s);
	/* The caller's port is the caller's worker's to choose. */
	reason = oak_ct_insert(s);
	return reason == OAK_TAKEN ? OAK_DROP_PORT_EXHAUSTED : reason;
}


/* oak_may_open judges a packet of a peer that belongs to no flow. Its key is wide. Returns a drop reason, or OAK_OPEN, or OAK_ASK if
 * NetManager has to be asked for its source first. Not static: verified once. */
__attribute__((noinline)) int oak_may_open(struct oak_pkt *p, __u32 peer, __u32 tag, int reinjected)
{
	struct oak_config *cfg = oak_cfg();
	struct oak_addr src, dst;
	struct oak_source *source;
	struct oak_endpoint *ep;
	__u32 *ifindex;
	int v4;

	if (!cfg || !p)
		return OAK_DROP_NO_ENDPOINT;
	v4 = p->family == OAK_V4;
	src = p->key.src;
	dst = p->key.dst;
	if (p->quoted)
		return OAK_DROP_NO_FLOW;
	ifindex = bpf_map_lookup_elem(&local, &dst);
	ep = ifindex ? bpf_map_lookup_elem(&endpoints, ifindex) : 0;
	if (!ep) {
		if (v4 ? oak_is_worker(cfg, &dst, OAK_V4) : oak_is_worker(cfg, &dst, OAK_V6))
			return OAK_DROP_STALE_ROUTE;
		return OAK_DROP_NO_ENDPOINT;
	}
	if (ep->tag != tag)
		return OAK_DROP_BAD_TAG;
	if (!p->may_open)
		return OAK_DROP_NO_FLOW;
	source = bpf_map_lookup_elem(&sources, &src);
	if (source && source->peer != peer)
		return OAK_DROP_BAD_SOURCE;
	/* NetManager is asked for instances alone; the gateway addresses of known peers it has told already. */
	if (!source && (v4 ? !oak_is_service(cfg, &src, OAK_V4) : !oak_is_service(cfg, &src, OAK_V6)))
		return OAK_DROP_BAD_SOURCE;
	if (reinjected) {
		if (!source)
			return OAK_DROP_BAD_SOURCE;
	} else {
		struct oak_addr wanted;

		oak_pending_source(&wanted, &src);
		if (!source || !oak_pending_settled(&wanted))
			return OAK_ASK;
	}
	return OAK_OPEN;
}

/* oak_may_enter judges a packet from a peer. Returns a drop reason, or 0 with its flow's entry in e, or OAK_ASK if NetManager has to be
 * asked for its source first. */
static __always_inline int oak_may_enter(struct __sk_buff *skb, struct oak_pkt *p, __u32 peer, const __u8 *tag, int reinjected, void **entry, const int family)
{
	__u32 number = (__u32)tag[0] << 16 | (__u32)tag[1] << 8 | tag[2];
	void *e = oak_entry(p, family);
	struct oak_addr wanted;
	struct oak_ct *c;
	int reason;

	if (!e)
		goto open;
	c = oak_common(e, family);
	if (p->tcp == OAK_TCP_SYN) {
		oak_widen(p, family);
		/* A SYN on the key of an ended flow is judged like any other packet that opens one. */
		if (oak_ct_ended(&p->key)) {
			p->replaces = 1;
			goto open;
		}
	}
	if (c->tag[0] != tag[0] || c->tag[1] != tag[1] || c->tag[2] != tag[2])
		return OAK_DROP_BAD_TAG;
	if (c->flags & OAK_CT_DEAD)
		return OAK_DROP_BACKEND_GONE;
	if (c->flags & OAK_CT_HELD && !reinjected) {
		oak_widen(p, family);
		oak_pending_source(&wanted, &p->key.src);
		if (!oak_pending_settled(&wanted))
			return OAK_ASK;
		c->flags &= ~OAK_CT_HELD;
	}
	*entry = e;
	return 0;
open:
	oak_widen(p, family);
	reason = oak_may_open(p, peer, number, reinjected);
	if (reason == OAK_OPEN)
		reason = oak_open_remote(p, peer, reinjected);
	if (reason)
		return reason;
	oak_step(skb, p, OAK_STEP_OPENED, 0, 0);
	e = oak_entry(p, family);
	*entry = e;
	return e ? 0 : OAK_DROP_CONNTRACK_FULL;
}

#endif
