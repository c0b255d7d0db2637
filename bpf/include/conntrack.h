/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Conntrack: one entry a direction, keyed by the packet as it arrives, holding all that its packets need.
 *
 * A flow that begins enters a ring, and one that TCP has ended enters another. A flow that is pushed out of the first while it is still
 * half-open or one-way is forgotten, and so is any that is pushed out of the second: a flood of openers takes the place of other openers
 * alone, and nothing fills up while NetManager, which forgets what is idle, is away. To begin or end costs no move between maps.
 */
#ifndef OAK_CONNTRACK_H
#define OAK_CONNTRACK_H

#include "flowmap.h"
#include "health.h"
#include "parse.h"
#include "share.h"

/* oak_origin is where the packets of the direction opposite to c come from, as enum oak_where has it. */
static __always_inline __u32 oak_origin(const struct oak_ct *c)
{
	if (c->flags & OAK_CT_OUT)
		return OAK_FROM_OUTSIDE;
	return c->flags & OAK_CT_TUNNEL ? OAK_FROM_PEER | c->to : c->to;
}

/* oak_mirror makes the other direction's key from a direction's entry and zone. */
static __always_inline void oak_mirror(struct oak_key *other, const struct oak_ct6 *e, __u32 zone)
{
	other->src = e->t.dst;
	other->dst = e->t.src;
	other->sport = e->t.dport;
	other->dport = e->t.sport;
	other->zone = oak_zone(zone >> 24, oak_origin(&e->c));
}

static __always_inline void oak_active(__u32 backend, int by)
{
	struct oak_load *l = bpf_map_lookup_elem(&loads, &backend);

	/* NetManager sets it from time to time to what it counts, which may be less. */
	if (backend && l && (by > 0 || l->active))
		__sync_fetch_and_add(&l->active, by);
}

/* oak_inactive takes a flow of which c is a direction out of its backend's count, if the backend's place still is that of who was chosen. */
static __always_inline void oak_inactive(const struct oak_ct *c)
{
	__u32 index = c->backend;
	struct oak_backend *b = index ? bpf_map_lookup_elem(&backends, &index) : 0;

	if (b && b->slot == c->generation)
		oak_active(index, -1);
}

/* oak_ct_ended reports whether the flow whose opener has this key has ended, whichever side has ended it: then the opener's SYN opens a new
 * one. */
__attribute__((noinline)) int oak_ct_ended(struct oak_key *at)
{
	struct oak_scratch *s = oak_scratch();

	if (!at || !s)
		return 0;
	s->fwd_key = *at;
	if (oak_load(OAK_FWD) || s->fwd.c.flags & OAK_CT_REPLY)
		return 0;
	if (s->fwd.c.seen & (OAK_TCP_FIN | OAK_TCP_RST))
		return 1;
	oak_mirror(&s->rev_key, &s->fwd, s->fwd_key.zone);
	return !oak_load(OAK_REV) && s->rev.c.seen & (OAK_TCP_FIN | OAK_TCP_RST);
}

/* oak_ct_forget removes the flow whose opener has the key of s, both directions. All else that s knows is lost. */
__attribute__((noinline)) int oak_ct_forget(void)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key mirror;

	if (!s || oak_load(OAK_FWD))
		return 0;
	if (!(s->fwd.c.flags & OAK_CT_CLOSED)) {
		oak_inactive(&s->fwd.c);
		if (s->fwd.c.flags & OAK_CT_ESTABLISHED)
			oak_charge(oak_whose(s->fwd_key.zone & OAK_WHERE_MASK, s->fwd.c.to), oak_addr_is4(&s->fwd_key.dst) ? OAK_V4 : OAK_V6, -1);
	}
	oak_mirror(&s->rev_key, &s->fwd, s->fwd_key.zone);
	if (!oak_load(OAK_REV)) {
		oak_mirror(&mirror, &s->rev, s->rev_key.zone);
		if (oak_key_eq(&mirror, &s->fwd_key))
			oak_erase(OAK_REV);
	}
	oak_erase(OAK_FWD);
	return 0;
}

/* How much of its rings a processor uses: a power of two, OAK_RING at most. Each has rings of its own, and all of them together must leave
 * room for flows that live. */
volatile const __u32 oak_ring = OAK_RING;

/* oak_ring_enter enters the flow whose opener has the key of s into a ring, with its stamp. What it pushes out is forgotten, if it is still what it
 * was when it entered, and no later flow that has its key and a place of its own. All else that s knows is lost. */
__attribute__((noinline)) int oak_ring_enter(__u32 ring, __u32 stamp)
{
	struct oak_scratch *s = oak_scratch();
	__u32 *at = bpf_map_lookup_elem(&ring_at, &ring), slot, was;
	struct oak_ringed *r;
	int over;

	if (!s || !at)
		return 0;
	slot = ring * OAK_RING + (*at & (oak_ring - 1) & (OAK_RING - 1));
	(*at)++;
	r = bpf_map_lookup_elem(&rings, &slot);
	if (!r)
		return 0;
	s->saved_fwd = r->key;
	was = r->stamp;
	r->key = s->fwd_key;
	r->stamp = stamp;
	if (!s->saved_fwd.zone || oak_key_eq(&s->saved_fwd, &s->fwd_key))
		return 0;
	s->fwd_key = s->saved_fwd;
	if (oak_load(OAK_FWD) || s->fwd.c.flags & OAK_CT_REPLY)
		return 0;
	/* Who acknowledges what nobody has sent has no stamp any more, and gains nothing by it. */
	if (ring == OAK_RING_NEW)
		over = !(s->fwd.c.flags & OAK_CT_ESTABLISHED) && (s->fwd.last_ack == was || s->fwd.c.seen & OAK_TCP_ACK);
	else
		over = s->fwd.c.flags & OAK_CT_CLOSED && s->fwd.c.created == was;
	if (over)
		oak_ct_forget();
	return 0;
}

/* oak_ended enters the flow whose opener has this key into the ring of those that have ended. */
__attribute__((noinline)) int oak_ended(struct oak_key *opener, __u32 created)
{
	struct oak_scratch *s = oak_scratch();

	if (!s || !opener)
		return 0;
	s->fwd_key = *opener;
	return oak_ring_enter(OAK_RING_CLOSED, created);
}

/* oak_ct_reply_free reports whether the reply key of s may be taken: it is free, or was this very flow's. What s knows of the reply is
 * lost. Not static: verified once, not for each turn of a loop. */
__attribute__((noinline)) int oak_ct_reply_free(void)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key mirror;

	if (!s)
		return 0;

	/* Who calls its own Instance IP from the port that it calls would be its own answer. */
	if (oak_key_eq(&s->fwd_key, &s->rev_key))
		return 0;
	if (oak_load(OAK_REV))
		return 1;
	oak_mirror(&mirror, &s->rev, s->rev_key.zone);
	return oak_key_eq(&mirror, &s->fwd_key);
}

/* oak_ct_stamp fills what both directions of a flow that is being opened have in common. */
static __always_inline void oak_ct_stamp(struct oak_scratch *s)
{
	__u64 now = bpf_ktime_get_ns();

	s->fwd.c.created = s->rev.c.created = now >> OAK_CREATED_SHIFT;
	s->fwd.c.last_seen = s->rev.c.last_seen = now >> OAK_SEEN_SHIFT;
	s->fwd.last_ack = now / 1000; /* until the first acknowledgement: for the round trip of the handshake */
}

/* What opens a flow returns if another processor has taken its reply key just now: another port will do. */
#define OAK_TAKEN (-103)
#define OAK_OPEN_TRIES 3

#define OAK_EEXIST (-17) /* linux/errno.h, negative */

/* oak_ct_reply_owner looks whose the entry is that has the reply key of s: 1 if it is a reply of this very flow, 2 if it is the opener of one that
 * the other side opens to us, 0 if it is of another flow. What s knows stays. Not static: verified once. */
__attribute__((noinline)) int oak_ct_reply_owner(void)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key mirror;
	struct oak_key4 k4;
	struct oak_ct4 *e4;
	struct oak_ct6 *e6;
	struct oak_ct *c;

	if (!s)
		return 0;
	if (oak_addr_is4(&s->rev_key.dst)) {
		oak_narrow(&k4, &s->rev_key);
		e4 = oak_flow4(&k4);
		if (!e4)
			return 0;
		oak_keep(e4);
		oak_addr_set4(&mirror.src, e4->t.dst);
		oak_addr_set4(&mirror.dst, e4->t.src);
		mirror.sport = e4->t.dport;
		mirror.dport = e4->t.sport;
		c = &e4->c;
	} else {
		e6 = oak_flow6(&s->rev_key);
		if (!e6)
			return 0;
		mirror.src = e6->t.dst;
		mirror.dst = e6->t.src;
		mirror.sport = e6->t.dport;
		mirror.dport = e6->t.sport;
		c = &e6->c;
	}
	mirror.zone = oak_zone(s->rev_key.zone >> 24, oak_origin(c));
	if (!oak_key_eq(&mirror, &s->fwd_key))
		return 0;
	return c->flags & OAK_CT_REPLY ? 1 : 2;
}

/* oak_ct_insert writes both directions. If another processor has opened the flow just now, that one counts: callers have to look
 * the entry up. All that s knows is lost. Returns a drop reason, or 0, or OAK_TAKEN. */
static __always_inline int oak_ct_insert(struct oak_scratch *s)
{
	struct oak_key mirror;
	int failed = oak_store(OAK_REV, BPF_NOEXIST);

	if (failed == OAK_EEXIST) {
		switch (oak_ct_reply_owner()) {
		case 0:
			return OAK_TAKEN;
		case 2:
			return 0; /* our packets have a reply's entry there, which was made first */
		}
		failed = oak_store(OAK_REV, BPF_ANY);
	}
	if (failed)
		return OAK_DROP_CONNTRACK_FULL;
	if (!oak_store(OAK_FWD, BPF_NOEXIST)) {
		oak_active(s->fwd.c.backend, 1);
		oak_ring_enter(OAK_RING_NEW, s->fwd.last_ack);
		return 0;
	}
	if (oak_load(OAK_FWD)) {
		oak_erase(OAK_REV);
		return OAK_DROP_CONNTRACK_FULL;
	}
	oak_mirror(&mirror, &s->fwd, s->fwd_key.zone);
	if (!oak_key_eq(&mirror, &s->rev_key))
		oak_erase(OAK_REV);
	return 0;
}

#endif
