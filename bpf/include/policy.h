/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Policies: which instance of a service a new flow gets. */
#ifndef OAK_POLICY_H
#define OAK_POLICY_H

#include "health.h"
#include "maps.h"

/* A distance that was not measured counts more than any that was: as a round trip of at least this many microseconds. */
#define OAK_UNMEASURED 0x40000000

/* oak_backend_usable reports whether flows of a family may go to an instance: it is there, has an address of that family, and can be
 * reached. */
static __always_inline int oak_backend_usable(const struct oak_backend *b, __u32 family)
{
	if (!b->generation || (family == OAK_V4 ? !b->ns4 : oak_addr_is_zero(&b->ns6)))
		return 0;
	return !b->peer || oak_peer_usable(b->peer);
}

/* oak_closeness is less the closer an instance is: on this worker, then by round trip, then by distance. */
static __always_inline __u32 oak_closeness(const struct oak_backend *b)
{
	struct oak_peer_health *h;
	__u32 peer = b->peer;

	if (!peer)
		return 0;
	h = bpf_map_lookup_elem(&peer_health, &peer);
	if (h && h->sampled)
		return h->rtt_us < OAK_UNMEASURED ? h->rtt_us + 1 : OAK_UNMEASURED - 1;
	return OAK_UNMEASURED + b->distance;
}

/*
 * What an instance reports is seconds old. Would flows go by what is open now alone, then short ones, which leave nothing open, would all go to
 * the instance that reports the least, until the next report sends all of them elsewhere. So those that it was given lately count too: a number
 * that is halved whenever the clock passes a multiple of 2^30 ns, the same moment for all, with that time, modulo 2^12, in the lower bits.
 */
#define OAK_LATELY_TIME 12
#define OAK_LATELY_MOST (0xffffffff >> OAK_LATELY_TIME)

static __always_inline __u32 oak_lately_now(void)
{
	return (bpf_ktime_get_coarse_ns() >> 30) & ((1 << OAK_LATELY_TIME) - 1);
}

static __always_inline __u32 oak_lately(__u32 noted, __u32 now)
{
	__u32 halved = (now - noted) & ((1 << OAK_LATELY_TIME) - 1);

	return halved < 32 ? noted >> OAK_LATELY_TIME >> halved : 0;
}

/* oak_given notes that underutilized has given an instance a flow. Of those that two processors give at the same moment one may be lost. */
static __always_inline void oak_given(__u32 index, __u32 now)
{
	struct oak_load *l = bpf_map_lookup_elem(&loads, &index);
	__u32 n;

	if (!l)
		return;
	n = oak_lately(l->lately, now);
	if (n < OAK_LATELY_MOST)
		n++;
	l->lately = n << OAK_LATELY_TIME | now;
}

/* How much more the flows of an instance weigh that reports full load than those of an idle one: this and once. Also who reports the most is
 * given some, so that it is found out when it could take more; and however late reports are, shares by these weights come to rest. */
#define OAK_LOAD_WEIGHT 3

/* oak_busyness is less the more an instance has to spare: flows that this worker's callers have open to it, or have opened lately, weighted with
 * the load that it reports. What is not known is taken for full. */
static __always_inline __u32 oak_busyness(__u32 index, __u32 load, __u32 now)
{
	struct oak_load *l = bpf_map_lookup_elem(&loads, &index);
	__u32 flows, lately;

	if (!l)
		return 0;
	flows = l->active;
	/* Processors that take the last flow away at the same time may count below 0. */
	if ((__s32)flows < 0)
		flows = 0;
	lately = oak_lately(l->lately, now);
	if (lately > flows)
		flows = lately;
	if (flows > 1000000)
		flows = 1000000;
	if (load > 1000)
		load = 1000;
	return (flows + 1) * (1000 + OAK_LOAD_WEIGHT * load);
}

/* oak_better reports whether cost beats best. Round trips that differ by less than an eighth do not differ. */
static __always_inline int oak_better(__u32 policy, __u32 cost, __u32 best)
{
	if (policy == OAK_POLICY_CLOSEST && best < OAK_UNMEASURED && cost)
		return cost < best - best / 8;
	return cost < best;
}

#define OAK_UNUSABLE 0xffffffff

/* oak_cost is what speaks against an instance, OAK_UNUSABLE if it cannot be reached. Not static: verified once, not for each turn of a loop. */
__attribute__((noinline)) __u32 oak_cost(__u32 index, __u32 policy, __u32 family, __u32 now)
{
	struct oak_backend *b = bpf_map_lookup_elem(&backends, &index);

	if (!b || !oak_backend_usable(b, family))
		return OAK_UNUSABLE;
	if (policy == OAK_POLICY_CLOSEST)
		return oak_closeness(b);
	return policy == OAK_POLICY_UNDERUTILIZED ? oak_busyness(index, b->load, now) : 0;
}

/* What a choice has come to so far. */
struct oak_choice {
	struct oak_service *s;
	__u32 policy;
	__u32 family;
	__u32 count;
	__u32 start;
	__u32 best;
	__u32 chosen;
	__u32 passed; /* that could not be reached */
	__u32 now;    /* oak_lately_now */
};

/* oak_consider looks at the next of a service's instances. Returns 1 once no other one need be looked at. */
static long oak_consider(__u32 i, struct oak_choice *c)
{
	__u32 index, cost, slot = c->count ? (c->start + i) % c->count : 0;

	/* The compiler may know that slot is in bounds and leave the check out that the verifier wants to see. */
	asm volatile("" : "+r"(slot));
	if (slot >= OAK_MAX_BACKENDS_PER_SERVICE)
		return 1;
	index = c->s->backends[slot];
	cost = oak_cost(index, c->policy, c->family, c->now);
	if (cost == OAK_UNUSABLE) {
		c->passed++;
		return 0;
	}
	if (!c->chosen || oak_better(c->policy, cost, c->best)) {
		c->best = cost;
		c->chosen = index;
	}
	return c->policy == OAK_POLICY_RR;
}

/* oak_choose picks one of a service's instances, or 0 if none can be reached. It looks at them in turn, each time from the next one on:
 * round robin takes the first that can be reached, the others the best of all, the first of equals. Not static: verified once, for any
 * service. */
__attribute__((noinline)) __u32 oak_choose(__u32 service, __u32 policy, __u32 family)
{
	struct oak_choice c = {.s = bpf_map_lookup_elem(&services, &service), .policy = policy, .family = family, .best = OAK_UNUSABLE};
	__u32 *cursor = bpf_map_lookup_elem(&cursors, &service);

	if (!c.s || !cursor)
		return 0;
	c.count = c.s->count;
	if (!c.count || c.count > OAK_MAX_BACKENDS_PER_SERVICE)
		return 0;
	c.start = __sync_fetch_and_add(cursor, 1) % c.count;
	/* Round robin's first choice will do as a rule, and is found without a loop. */
	if (policy == OAK_POLICY_RR && oak_consider(0, &c))
		return c.chosen;
	c.passed = 0;
	if (policy == OAK_POLICY_UNDERUTILIZED)
		c.now = oak_lately_now();
	bpf_loop(c.count, oak_consider, &c, 0);
	if (policy == OAK_POLICY_RR && c.chosen)
		__sync_fetch_and_add(cursor, c.passed); /* those passed over had their turn; 0 too: the verifier would tell turns apart by it */
	if (policy == OAK_POLICY_UNDERUTILIZED)
		oak_given(c.chosen, c.now);
	return c.chosen;
}

/* oak_pick chooses what an address stands for. Returns a drop reason, or 0. */
static __always_inline int oak_pick(const struct oak_vip *vip, __u32 family, __u32 *index)
{
	if (vip->policy == OAK_POLICY_NONE)
		return OAK_DROP_NO_SERVICE;
	if (vip->policy == OAK_POLICY_INSTANCE) {
		struct oak_backend *b;

		*index = vip->backend;
		b = bpf_map_lookup_elem(&backends, index);
		return b && oak_backend_usable(b, family) ? 0 : OAK_DROP_NO_BACKEND;
	}
	*index = oak_choose(vip->service, vip->policy, family);
	return *index ? 0 : OAK_DROP_NO_BACKEND;
}

#endif
