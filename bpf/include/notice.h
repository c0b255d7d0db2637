/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Notices: a peer that sends to where nobody is has a stale route, and NetManager tells it so. */
#ifndef OAK_NOTICE_H
#define OAK_NOTICE_H

#include "count.h"
#include "events.h"
#include "rate.h"

#define OAK_NOTICES_PER_PEER 20 /* a second */

/* oak_notice hands NetManager the address and tag of a packet that was dropped, if it was for that reason. */
static __always_inline void oak_notice(int reason, __u32 peer, const struct oak_addr *dst, __u32 tag)
{
	struct oak_stale *s;

	if (reason != OAK_DROP_STALE_ROUTE && reason != OAK_DROP_BAD_TAG)
		return;
	if (!oak_allowed(OAK_NOTICES_OF_PEER | peer, OAK_NOTICES_PER_PEER, bpf_ktime_get_ns()))
		return;
	s = bpf_ringbuf_reserve(&events, sizeof(*s), 0);
	if (!s)
		return;
	s->kind = OAK_EVENT_STALE;
	s->peer = peer;
	s->tag = tag;
	s->dst = *dst;
	bpf_ringbuf_submit(s, 0);
}

#endif
