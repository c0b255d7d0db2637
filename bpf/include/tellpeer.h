/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a peer's packet that goes nowhere is answered with, back through the tunnel. */
#ifndef OAK_TELLPEER_H
#define OAK_TELLPEER_H

#include "answer.h"
#include "notice.h"
#include "tunnel.h"

/* oak_tells_peer reports whether a peer's packet, which was dropped for that reason, is of a connection that has no place here, or none any more:
 * whoever is at its other end waits for an answer, for as long as it has patience. What opens one is mostly tried again, and may then be right. */
static __always_inline int oak_tells_peer(const struct oak_pkt *p, int reason)
{
	if (reason == OAK_DROP_FLOW_SHARE)
		return 1;
	if (p->proto != IPPROTO_TCP || p->quoted)
		return 0;
	switch (reason) {
	case OAK_DROP_BACKEND_GONE:
		return 1;
	case OAK_DROP_NO_FLOW:
	case OAK_DROP_NO_ENDPOINT: /* the answers to an instance of ours, whose Instance IP is in no map of those that are here */
	case OAK_DROP_STALE_ROUTE:
	case OAK_DROP_BAD_TAG:
		return !p->may_open;
	}
	return 0;
}

/* oak_answer_peer drops a packet of a flow that is dead, unknown or refused, and resets the flow at the peer, to which it belongs as the tag that it came
 * with says: with the number that the peer says it waits for, which the reset that NetManager has sent may not have had. Not static: verified once. */
__attribute__((noinline)) int oak_answer_peer(struct __sk_buff *skb, struct oak_pkt *p, __u32 index, __u32 number, int reason)
{
	__u8 tag[3] = {number >> 16, number >> 8, number};
	int verdict = oak_dropped(skb, reason);
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	int failed;

	if (!p || !peer || !peer->port || !oak_tells_peer(p, reason) || !oak_answer_allowed(OAK_RESETS_OF_PEER | index, OAK_RESETS_PER_SECOND))
		return verdict;
	failed = oak_make_refusal(skb, p);
	if (failed == OAK_RESET_UNMADE && !oak_notice_lost(index, number))
		oak_stat(skb, OAK_STAT_ANSWERED);
	if (failed)
		return verdict;
	p->tos = 0;
	if (p->family == OAK_V4)
		failed = peer->family == OAK_V4 ? oak_encap4(skb, peer, tag, p, OAK_V4) : oak_encap6(skb, peer, tag, p, OAK_V4);
	else
		failed = peer->family == OAK_V4 ? oak_encap4(skb, peer, tag, p, OAK_V6) : oak_encap6(skb, peer, tag, p, OAK_V6);
	if (failed)
		return verdict;
	oak_stat(skb, OAK_STAT_ANSWERED);
	return bpf_redirect_neigh(peer->ifindex, 0, 0, 0);
}

/* Beside the outer traffic class: the outer headers were taken off by the card's program. */
#define OAK_BY_CARD 0x100

#endif
