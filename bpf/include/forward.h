/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarding: what happens to a packet whose flow is known. */
#ifndef OAK_FORWARD_H
#define OAK_FORWARD_H

#include "conntrack.h"
#include "count.h"
#include "rewrite.h"
#include "tunnel.h"

/* oak_forward translates the packet and sends it where its flow goes. Its IP header is right behind the Ethernet header. */
static __always_inline int oak_forward(struct __sk_buff *skb, struct oak_pkt *p, struct oak_ct *e)
{
	/* Copied, since accounting may move the entry to another map. */
	__u32 flags = e->flags, ifindex = e->ifindex, peer = e->peer, tag = e->tag;
	int reason;

	if (flags & OAK_CT_REWRITE) {
		reason = oak_rewrite4(skb, p, e);
		if (reason)
			return oak_dropped(skb, reason);
	}
	oak_ct_account(skb, p, e);
	if (flags & OAK_CT_TUNNEL)
		return oak_encap(skb, peer, tag);
	oak_stat(skb, OAK_STAT_TO_LOCAL);
	return bpf_redirect_peer(ifindex, 0);
}

#endif
