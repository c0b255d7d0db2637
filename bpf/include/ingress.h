/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ingress from peers: which packets of a peer may reach which endpoint. */
#ifndef OAK_INGRESS_H
#define OAK_INGRESS_H

#include "conntrack.h"
#include "count.h"
#include "forward.h"
#include "tunnel.h"
#include "upcall.h"

/* oak_open_remote makes the entries of a flow that an instance of another worker opens. Returns a drop reason, or 0. */
__attribute__((noinline)) int oak_open_remote(struct oak_pkt *p, struct oak_endpoint *ep, __u32 peer, __u32 held)
{
	struct oak_scratch *s = oak_scratch_clear();

	if (!s || !p || !ep)
		return OAK_DROP_CONNTRACK_FULL;
	s->fwd_key = p->key;
	s->rev_key.src = p->key.dst;
	s->rev_key.dst = p->key.src;
	s->rev_key.sport = p->key.dport;
	s->rev_key.dport = p->key.sport;
	s->rev_key.proto = p->key.proto;
	if (!oak_ct_reply_free(s))
		return OAK_DROP_PORT_EXHAUSTED;

	s->fwd.src = p->key.src;
	s->fwd.dst = p->key.dst;
	s->fwd.sport = p->key.sport;
	s->fwd.dport = p->key.dport;
	s->fwd.flags = OAK_CT_REMOTE | (held ? OAK_CT_HELD : 0);
	s->fwd.ifindex = ep->ifindex;
	s->fwd.peer = peer;
	s->fwd.tag = ep->tag;

	s->rev.src = p->key.dst;
	s->rev.dst = p->key.src;
	s->rev.sport = p->key.dport;
	s->rev.dport = p->key.sport;
	s->rev.flags = OAK_CT_REPLY | OAK_CT_TUNNEL;
	s->rev.peer = peer;
	s->rev.tag = ep->tag;
	oak_ct_pair(s);
	return oak_ct_insert(s, p);
}

/* oak_source_moved reports whether a flow's opener lives at this peer now, and not where it did. */
static __always_inline int oak_source_moved(const struct oak_pkt *p, const struct oak_ct *e, __u32 peer)
{
	struct oak_source *source;

	if (e->peer == peer || !p->may_open || (e->flags & (OAK_CT_REMOTE | OAK_CT_REPLY)) != OAK_CT_REMOTE)
		return 0;
	source = bpf_map_lookup_elem(&sources, &p->key.src);
	return source && source->peer == peer;
}

/* oak_may_enter judges a packet from a peer. Returns a drop reason, or 0: then *e is its flow, or 0 if NetManager has to be asked
 * for its source first. */
static __always_inline int oak_may_enter(struct oak_pkt *p, __u32 peer, __u32 tag, int reinjected, struct oak_ct **flow)
{
	struct oak_config *cfg = oak_cfg();
	struct oak_addr wanted;
	struct oak_source *source;
	struct oak_endpoint *ep;
	struct oak_ct *e = oak_ct_lookup(&p->key);
	__u32 *ifindex;
	int reason;

	*flow = 0;
	oak_pending_source(&wanted, &p->key.src);
	/* A SYN on the key of an ended flow is judged like any other packet that opens one, and so is what opens one from an instance
	 * that has moved to this peer since. */
	if (e && !oak_ct_reopens(p, e) && !oak_source_moved(p, e, peer)) {
		if (!(e->flags & OAK_CT_REMOTE) || e->peer != peer)
			return OAK_DROP_WRONG_PEER;
		if (e->tag != tag)
			return OAK_DROP_BAD_TAG;
		if (e->flags & OAK_CT_HELD && !reinjected) {
			if (!oak_pending_settled(&wanted))
				return 0;
			e->flags &= ~OAK_CT_HELD;
		}
		*flow = e;
		return 0;
	}
	p->replaces = !!e;
	if (!cfg)
		return OAK_DROP_NO_ENDPOINT;
	ifindex = bpf_map_lookup_elem(&local, &p->key.dst);
	ep = ifindex ? bpf_map_lookup_elem(&endpoints, ifindex) : 0;
	if (!ep) {
		if (oak_in4(&cfg->workers4, oak_addr_get4(&p->key.dst)))
			return OAK_DROP_STALE_ROUTE;
		return OAK_DROP_NO_ENDPOINT;
	}
	if (ep->tag != tag)
		return OAK_DROP_BAD_TAG;
	if (!p->may_open)
		return OAK_DROP_NO_FLOW;
	if (!oak_in4(&cfg->services4, oak_addr_get4(&p->key.src)))
		return OAK_DROP_BAD_SOURCE;
	source = bpf_map_lookup_elem(&sources, &p->key.src);
	if (!source)
		return reinjected ? OAK_DROP_BAD_SOURCE : 0;
	if (source->peer != peer)
		return OAK_DROP_BAD_SOURCE;
	if (!reinjected && !oak_pending_settled(&wanted))
		return 0;
	reason = oak_open_remote(p, ep, peer, reinjected);
	if (reason)
		return reason;
	*flow = oak_ct_lookup(&p->key);
	return *flow ? 0 : OAK_DROP_CONNTRACK_FULL;
}

#endif
