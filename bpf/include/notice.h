/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Notices: a peer that sends to where nobody is has a stale route, and NetManager tells it so. */
#ifndef OAK_NOTICE_H
#define OAK_NOTICE_H

#include "count.h"
#include "events.h"
#include "rate.h"
#include "reset.h"
#include "upcall.h"

#define OAK_NOTICES_PER_PEER 20 /* a second */
#define OAK_LOST_PER_PEER 1000

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

/* oak_notice_lost has NetManager send the reset that oak_make_reset has left in scratch to a peer. Returns 0 if it was told. Not static: verified
 * once. */
__attribute__((noinline)) int oak_notice_lost(__u32 peer, __u32 tag)
{
	struct oak_scratch *s = oak_scratch();
	__u64 now = bpf_ktime_get_ns();
	struct oak_segment *out;
	struct oak_lost *l;

	if (!s || !oak_manager_alive(now) || !oak_allowed(OAK_LOST_OF_PEER | peer, OAK_LOST_PER_PEER, now))
		return -1;
	l = bpf_ringbuf_reserve(&events, sizeof(*l), 0);
	if (!l)
		return -1;
	out = oak_reset_segment(s);
	l->kind = OAK_EVENT_LOST;
	l->peer = peer;
	l->tag = tag;
	l->src = s->saved_fwd.src;
	l->dst = s->saved_fwd.dst;
	l->sport = out->sport;
	l->dport = out->dport;
	l->seq = out->seq;
	l->ack = out->ack;
	l->flags = out->flags;
	bpf_ringbuf_submit(l, 0);
	return 0;
}

#endif
