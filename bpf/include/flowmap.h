/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of flows, one a family. Packets of known flows look into their family's; what changes flows works on copies in scratch, large
 * for both families, and the functions here bring them in and out. Those are not static: the verifier walks through each once.
 */
#ifndef OAK_FLOWMAP_H
#define OAK_FLOWMAP_H

#include "maps.h"
#include "parse.h"

/* Which of scratch's two directions. */
enum oak_side {
	OAK_FWD = 0,
	OAK_REV = 1,
};

/* oak_keep keeps the compiler from moving what is done with a pointer before the check that it is one. */
#define oak_keep(p) asm volatile("" : "+r"(p))

static __always_inline int oak_key_eq(const struct oak_key *a, const struct oak_key *b)
{
	return a->sport == b->sport && a->dport == b->dport && a->zone == b->zone && oak_addr_eq(&a->src, &b->src) &&
	       oak_addr_eq(&a->dst, &b->dst);
}

static __always_inline struct oak_ct4 *oak_flow4(const struct oak_key4 *k)
{
	return bpf_map_lookup_elem(&flows4, k);
}

static __always_inline struct oak_ct6 *oak_flow6(const struct oak_key *k)
{
	return bpf_map_lookup_elem(&flows6, k);
}

static __always_inline struct oak_scratch *oak_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* oak_load copies the entry of a side's key to that side. Returns 0 if there is one. */
__attribute__((noinline)) int oak_load(__u32 side)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key *k;
	struct oak_ct6 *to, *e6;
	struct oak_key4 k4;
	struct oak_ct4 *e;

	if (!s)
		return -1;
	k = side == OAK_FWD ? &s->fwd_key : &s->rev_key;
	to = side == OAK_FWD ? &s->fwd : &s->rev;
	if (!oak_addr_is4(&k->dst)) {
		e6 = oak_flow6(k);
		if (!e6)
			return -1;
		*to = *e6;
		return 0;
	}
	oak_narrow(&k4, k);
	e = oak_flow4(&k4);
	if (!e)
		return -1;
	oak_keep(e);
	oak_addr_set4(&to->t.src, e->t.src);
	oak_addr_set4(&to->t.dst, e->t.dst);
	to->t.sport = e->t.sport;
	to->t.dport = e->t.dport;
	to->last_ack = e->last_ack;
	to->c = e->c;
	return 0;
}

/* oak_store writes a side's entry under its key, with the flags of bpf_map_update_elem. Returns 0 if it is there. */
__attribute__((noinline)) int oak_store(__u32 side, __u32 flags)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key *k;
	struct oak_ct6 *e;

	if (!s)
		return -1;
	k = side == OAK_FWD ? &s->fwd_key : &s->rev_key;
	e = side == OAK_FWD ? &s->fwd : &s->rev;
	if (!oak_addr_is4(&k->dst))
		return bpf_map_update_elem(&flows6, k, e, flags);
	oak_narrow(&s->small_key, k);
	s->small.t.src = oak_addr_get4(&e->t.src);
	s->small.t.dst = oak_addr_get4(&e->t.dst);
	s->small.t.sport = e->t.sport;
	s->small.t.dport = e->t.dport;
	s->small.last_ack = e->last_ack;
	s->small.c = e->c;
	return bpf_map_update_elem(&flows4, &s->small_key, &s->small, flags);
}

/* oak_erase removes the entry of a side's key. */
__attribute__((noinline)) int oak_erase(__u32 side)
{
	struct oak_scratch *s = oak_scratch();
	struct oak_key4 k4;
	struct oak_key *k;

	if (!s)
		return -1;
	k = side == OAK_FWD ? &s->fwd_key : &s->rev_key;
	if (!oak_addr_is4(&k->dst))
		return bpf_map_delete_elem(&flows6, k);
	oak_narrow(&k4, k);
	return bpf_map_delete_elem(&flows4, &k4);
}

#endif
