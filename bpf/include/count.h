/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every packet that enters a program is counted once where it leaves: as a drop by reason, or by where it went. */
#ifndef OAK_COUNT_H
#define OAK_COUNT_H

#include <linux/pkt_cls.h>

#include "maps.h"
#include "trace.h"

static __always_inline void oak_stat(struct __sk_buff *skb, __u32 which)
{
	struct oak_counter *c = bpf_map_lookup_elem(&stats, &which);

	if (c) {
		c->packets++;
		c->bytes += skb->len;
	}
}

/* oak_dropped counts the packet under its reason and returns the verdict that drops it. Not static: verified once. It is called from
 * deep down, has to do with little stack, and calls nobody. */
__attribute__((noinline)) int oak_dropped(struct __sk_buff *skb, __u32 reason)
{
	struct oak_trace *t = oak_trace();
	struct oak_counter *c = bpf_map_lookup_elem(&drops, &reason);

	if (c) {
		c->packets++;
		c->bytes += skb->len;
	}
	if (t && t->until)
		oak_trace_drop(skb, reason);
	return TC_ACT_SHOT;
}

static __always_inline struct oak_config *oak_cfg(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

#endif
