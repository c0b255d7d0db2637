/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shares: how many established flows an endpoint may have of each map of flows, so that one that gets the other side to cooperate, or one that
 * many call, takes no other's place. A flow is charged to who has opened it, if that is here, else to whom it was opened to: once. Only what
 * begins, becomes established or ends is counted; NetManager's sweep puts right what two processors have done at the same moment.
 */
#ifndef OAK_SHARE_H
#define OAK_SHARE_H

#include "flowmap.h"

/* oak_whose is the interface of the endpoint that a flow is charged to: where its opener's packets come from, or go to. */
static __always_inline __u32 oak_whose(__u32 where, __u32 to)
{
	return where == OAK_FROM_OUTSIDE || where & OAK_FROM_PEER ? to : where;
}

/* oak_charge counts an endpoint's established flows of a family. Not static: verified once. */
__attribute__((noinline)) int oak_charge(__u32 ifindex, __u32 family, int by)
{
	struct oak_share *s = bpf_map_lookup_elem(&shares, &ifindex), fresh = {};
	__u32 *n;

	if (!s && by > 0) {
		bpf_map_update_elem(&shares, &ifindex, &fresh, BPF_NOEXIST);
		s = bpf_map_lookup_elem(&shares, &ifindex);
	}
	if (!s)
		return 0;
	n = family == OAK_V4 ? &s->flows[OAK_V4] : &s->flows[OAK_V6];
	/* NetManager sets it from time to time to what it counts, which may be less. */
	if (by > 0 || *n)
		__sync_fetch_and_add(n, by);
	return 0;
}

/* oak_share_used reports whether an endpoint has as many established flows of a family as it may. Not static: verified once. */
__attribute__((noinline)) int oak_share_used(__u32 ifindex, __u32 family)
{
	struct oak_share *s = bpf_map_lookup_elem(&shares, &ifindex);
	struct oak_config *cfg;
	__u32 zero = 0, most, n;

	if (!s)
		return 0;
	cfg = bpf_map_lookup_elem(&config, &zero);
	most = cfg ? (family == OAK_V4 ? cfg->flow_share[OAK_V4] : cfg->flow_share[OAK_V6]) : 0;
	if (!most)
		most = family == OAK_V4 ? OAK_SHARE4 : OAK_SHARE6;
	n = family == OAK_V4 ? s->flows[OAK_V4] : s->flows[OAK_V6];
	/* Processors that take the last flow away at the same time may count below 0. */
	return (__s32)n > 0 && n >= most;
}

/* oak_mark sets flags of an entry and returns those that it had before: of two processors one alone finds that it had them not. */
static __always_inline __u32 oak_mark(struct oak_ct *c, __u32 flags)
{
	_Static_assert(offsetof(struct oak_ct, generation) == offsetof(struct oak_ct, flags) + 2, "flags are the lower half of a word");
	return __sync_fetch_and_or((__u32 *)((void *)c + offsetof(struct oak_ct, flags)), flags) & 0xffff;
}

#endif
