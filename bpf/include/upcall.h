/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Upcalls: a packet that the maps do not know what to do with goes to NetManager whole, over oak-up0, and comes back when
 * they do. What comes up and what came back is counted per wanted address, so that no later packet overtakes a held one.
 *
 * The Ethernet header of the frame carries what else is known: the peer that it came from (0: a container) and its tag.
 */
#ifndef OAK_UPCALL_H
#define OAK_UPCALL_H

#include "count.h"
#include "parse.h"
#include "rate.h"

/* After the last held packet came back: until then it may still wait in another processor's queue. */
#define OAK_SETTLE_NS (2 * OAK_NS_PER_MS)
/* NetManager answers or gives up within a second; then counts that do not match no longer matter. */
#define OAK_PENDING_NS (2000 * OAK_NS_PER_MS)
#define OAK_HEARTBEAT_NS (2000 * OAK_NS_PER_MS)
#define OAK_MAX_HELD 64
#define OAK_MISSES_PER_SECOND 100

/* What functions return that have neither a verdict nor a drop reason yet. */
#define OAK_ASK (-100)    /* ask NetManager */
#define OAK_OPEN (-101)   /* open a flow */
#define OAK_OPENED (-102) /* forward the packet by its flow's entry */

#define OAK_MAC0 0x02 /* locally administered */
#define OAK_MAC1 0x6f
#define OAK_MAC2 0x61
/* In the upper byte instead of a peer's index: a reset of ours for a flow whose instance is gone, as if it came from the enum oak_where in
 * the other three. */
#define OAK_PEER_RESET 0xfe
#define OAK_PEER_SEND 0xfd /* likewise, but a packet of ours for the peer whose index is in the other three, with the tag that it is to have */
#define OAK_PEER_DELIVER 0xffffffff /* deliver as it is to the endpoint that is the destination */

/* A source that is waited for has a key apart from the same address as a destination. */
static __always_inline void oak_pending_source(struct oak_addr *key, const struct oak_addr *source)
{
	*key = *source;
	key->b[0] ^= 0x80;
}

/* oak_pending_settled reports whether packets that want this address may pass NetManager by. */
static __always_inline int oak_pending_settled(const struct oak_addr *key)
{
	struct oak_pending *p = bpf_map_lookup_elem(&pending, key);
	__u64 now;

	if (!p)
		return 1;
	now = bpf_ktime_get_ns();
	/* Signed: another processor may have written a time that is later than now. */
	if ((p->up == p->down && (__s64)(now - p->last_down) > (__s64)OAK_SETTLE_NS) ||
	    (__s64)(now - p->last_up) > (__s64)OAK_PENDING_NS) {
		bpf_map_delete_elem(&pending, key);
		return 1;
	}
	return 0;
}

static __always_inline int oak_manager_alive(__u64 now)
{
	__u32 zero = 0;
	__u64 *beat = bpf_map_lookup_elem(&heartbeat, &zero);

	return beat && *beat && (*beat > now || now - *beat < OAK_HEARTBEAT_NS);
}

/* oak_pending_up counts a packet that goes up. Returns a drop reason, or 0. */
static __always_inline int oak_pending_up(const struct oak_addr *key, __u32 who)
{
	struct oak_pending *p = bpf_map_lookup_elem(&pending, key);
	__u64 now = bpf_ktime_get_ns();

	if (!oak_manager_alive(now))
		return OAK_DROP_NO_MANAGER;
	if (!p) {
		struct oak_pending fresh = {.first = now, .last_up = now};

		if (!oak_allowed(who, OAK_MISSES_PER_SECOND, now))
			return OAK_DROP_UPCALL_RATE;
		bpf_map_update_elem(&pending, key, &fresh, BPF_NOEXIST);
		p = bpf_map_lookup_elem(&pending, key);
		if (!p)
			return OAK_DROP_UPCALL_FULL;
	}
	if ((__s64)(p->up - p->down) >= OAK_MAX_HELD)
		return OAK_DROP_UPCALL_FULL;
	p->last_up = now;
	__sync_fetch_and_add(&p->up, 1);
	return 0;
}

static __always_inline void oak_pending_down(const struct oak_addr *key)
{
	struct oak_pending *p = bpf_map_lookup_elem(&pending, key);

	if (p) {
		p->last_down = bpf_ktime_get_ns();
		__sync_fetch_and_add(&p->down, 1);
	}
}

/* oak_upcall hands the packet, its IP header right behind the Ethernet header, to NetManager. */
static __always_inline int oak_upcall(struct __sk_buff *skb, const struct oak_addr *key, __u32 peer, __u32 tag)
{
	struct oak_config *cfg = oak_cfg();
	struct ethhdr *eth;
	void *data, *end;
	int reason;

	if (!cfg || !cfg->upcall_ifindex)
		return oak_dropped(skb, OAK_DROP_NO_MANAGER);
	reason = oak_pending_up(key, peer ? OAK_MISSES_OF_PEER | peer : skb->ifindex);
	if (reason)
		return oak_dropped(skb, reason);
	oak_pull(skb, sizeof(*eth));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	eth->h_dest[0] = OAK_MAC0;
	eth->h_dest[1] = OAK_MAC1;
	eth->h_dest[2] = peer >> 24;
	eth->h_dest[3] = peer >> 16;
	eth->h_dest[4] = peer >> 8;
	eth->h_dest[5] = peer;
	eth->h_source[0] = OAK_MAC0;
	eth->h_source[1] = OAK_MAC1;
	eth->h_source[2] = OAK_MAC2;
	eth->h_source[3] = tag >> 16;
	eth->h_source[4] = tag >> 8;
	eth->h_source[5] = tag;
	if (oak_followed())
		oak_step_taken(skb, OAK_STEP_UPCALL, 0, 0);
	oak_stat(skb, OAK_STAT_UPCALL);
	return bpf_redirect(cfg->upcall_ifindex, 0);
}

#endif
