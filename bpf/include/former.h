/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The former build. Where its maps have another layout, its programs stay for a moment behind ours on the same hooks, until what they know has
 * been copied. A packet that no flow of ours has is left to them, so that no link that is replaced before another breaks a flow: first openers
 * too, so that all flows are opened in one place; then only what may not open one.
 *
 * Only the programs that are attached meanwhile know of this: they are compiled into nothing in others.
 */
#ifndef OAK_FORMER_H
#define OAK_FORMER_H

#include "conntrack.h"
#include "count.h"
#include "state.h"

/* Whether these are the programs of that moment. */
volatile const __u32 oak_interim = 0;

/* oak_defers reports whether a packet that no flow has is the former build's. It is for a limited time, should NetManager die meanwhile. */
static __always_inline int oak_defers(int opens)
{
	__u32 zero = 0;
	struct oak_takeover *t = bpf_map_lookup_elem(&takeover, &zero);

	return t && bpf_ktime_get_ns() < (opens ? t->openers : t->others);
}

static __always_inline int oak_of_former(struct __sk_buff *skb, __u32 where, const __u32 off, const int family)
{
	struct oak_pkt *p = oak_packet();

	if (!oak_interim || !p)
		return 0;
	oak_pull(skb, off + (family == OAK_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct tcphdr));
	if (oak_parse_ip(skb, off, p, family) || oak_parse_l4(skb, off, p, where, family))
		return 0;
	if (!oak_entry(p, family))
		return oak_defers(p->may_open);
	if (p->tcp != OAK_TCP_SYN || !oak_defers(1))
		return 0;
	/* The former programs open it anew: what comes after it on this key is not of the flow that we know. */
	oak_widen(p, family);
	if (!oak_ct_ended(&p->key))
		return 0;
	oak_ct_forget();
	return 1;
}

/* What these functions are called reports whether a packet, not yet changed, with its IP header of a family at off is to be left to the former
 * build's programs. Not static: verified once. */
#define OAK_OF_FORMER(name, off, family)                                                                               \
	__attribute__((noinline)) int name(struct __sk_buff *skb, __u32 where)                                         \
	{                                                                                                              \
		return oak_of_former(skb, where, off, family);                                                         \
	}

OAK_OF_FORMER(oak_of_former4, ETH_HLEN, OAK_V4)
OAK_OF_FORMER(oak_of_former6, ETH_HLEN, OAK_V6)

/* oak_to_former lets a packet go to the program behind. */
static __always_inline int oak_to_former(struct __sk_buff *skb)
{
	oak_stat(skb, OAK_STAT_FORMER);
	return TC_ACT_UNSPEC;
}

#endif
