/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarding: what happens to a packet whose flow is known. */
#ifndef OAK_FORWARD_H
#define OAK_FORWARD_H

#include "answer.h"
#include "count.h"
#include "path.h"
#include "rewrite.h"
#include "state.h"
#include "tunnel.h"

static __always_inline int oak_translate(struct __sk_buff *skb, struct oak_pkt *p, const void *e, const int family)
{
	const struct oak_ct4 *e4 = e;
	const struct oak_ct6 *e6 = e;
	struct oak_scratch *s;

	if (!p->quoted)
		return oak_rewrite(skb, p, family == OAK_V4 ? (void *)&e4->t : (void *)&e6->t, family);
	s = oak_scratch();
	if (!s)
		return OAK_DROP_REWRITE_FAILED;
	if (family == OAK_V4) {
		oak_addr_set4(&s->fwd.t.src, e4->t.src);
		oak_addr_set4(&s->fwd.t.dst, e4->t.dst);
		s->fwd.t.sport = e4->t.sport;
		s->fwd.t.dport = e4->t.dport;
	} else {
		s->fwd.t = e6->t;
	}
	return oak_rewrite_quoted(skb, p, &s->fwd.t);
}

/* oak_plain delivers by way of the host side, where the Ethernet address is looked at. */
static __always_inline int oak_plain(struct __sk_buff *skb, __u32 ifindex)
{
	struct oak_endpoint *ep = bpf_map_lookup_elem(&endpoints, &ifindex);

	if (!ep)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), ep->mac, sizeof(ep->mac), 0))
		return oak_dropped(skb, OAK_DROP_REWRITE_FAILED);
	return bpf_redirect(ifindex, 0);
}

static __always_inline int oak_send(struct __sk_buff *skb, struct oak_pkt *p, void *e, const int family)
{
	struct oak_ct *c = oak_common(e, family);
	/* Copied: another processor may forget the flow meanwhile, and its memory be that of another. */
	__u32 flags = c->flags, to = c->to;
	struct oak_peer *peer = 0;
	__u32 size, limit;
	__u8 tag[3];
	int reason;

	__builtin_memcpy(tag, c->tag, sizeof(tag));
	if (p->followed)
		family == OAK_V4 ? oak_step_flow4(skb, e) : oak_step_flow6(skb, e);
	if (flags & OAK_CT_TUNNEL) {
		peer = bpf_map_lookup_elem(&peers, &to);
		/* Only new flows ask for its state. One that is unreachable keeps its flows, since it may answer again, and one that has
		 * just been located may have opened flows to here before its own hello told that it has located us. */
		if (!peer || !peer->port)
			return oak_dropped(skb, OAK_DROP_PEER_DOWN);
		size = oak_size(skb, p);
		limit = size > OAK_PATH_LEAST ? oak_path_limit(to, peer->mtu, family) : peer->mtu;
		if (limit && size > limit)
			return oak_answer_too_big(skb, p, limit);
	}
	if (flags & OAK_CT_REWRITE) {
		reason = oak_translate(skb, p, e, family);
		if (reason)
			return oak_dropped(skb, reason);
	}
	oak_account(skb, p, e, family);
	if (peer)
		return oak_encap(skb, peer, to, tag, p, family);
	if (flags & OAK_CT_OUT) {
		oak_step(skb, p, OAK_STEP_OUT, to, 0);
		oak_stat(skb, OAK_STAT_TO_OUTSIDE);
		return bpf_redirect_neigh(to, 0, 0, 0);
	}
	oak_step(skb, p, OAK_STEP_LOCAL, to, 0);
	oak_stat(skb, OAK_STAT_TO_LOCAL);
	if (flags & OAK_CT_PLAIN)
		return oak_plain(skb, to);
	return bpf_redirect_peer(to, 0);
}

/* oak_forward4 and oak_forward6 translate a packet by the entry of its flow and send it where that goes. Its IP header is right behind the
 * Ethernet header. Not static: the verifier walks through this once, not for every way that leads here. They return a verdict. */
__attribute__((noinline)) int oak_forward4(struct __sk_buff *skb, struct oak_pkt *p, struct oak_ct4 *e)
{
	if (!p || !e)
		return TC_ACT_SHOT;
	return oak_send(skb, p, e, OAK_V4);
}

__attribute__((noinline)) int oak_forward6(struct __sk_buff *skb, struct oak_pkt *p, struct oak_ct6 *e)
{
	if (!p || !e)
		return TC_ACT_SHOT;
	return oak_send(skb, p, e, OAK_V6);
}

static __always_inline int oak_forward(struct __sk_buff *skb, struct oak_pkt *p, void *e, const int family)
{
	return family == OAK_V4 ? oak_forward4(skb, p, e) : oak_forward6(skb, p, e);
}

#endif
