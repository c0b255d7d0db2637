/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Peers' health: how far each is, measured by what passes anyway, and whether it can be heard. */
#ifndef OAK_HEALTH_H
#define OAK_HEALTH_H

#include "maps.h"
#include "rate.h"

#define OAK_SILENCE_NS (OAK_SILENCE_MS * OAK_NS_PER_MS)
#define OAK_UNASKED_NS (OAK_UNASKED_MS * OAK_NS_PER_MS)
/* A sample counts an eighth, as those of a handshake each do; one that has none before it for this long counts a half. */
#define OAK_SPARSE_NS (2000 * OAK_NS_PER_MS)
/* A sign of life is noted no more often, so that processors do not fight for the line. */
#define OAK_HEARD_NS (100 * OAK_NS_PER_MS)

static __always_inline void oak_peer_heard(__u32 peer)
{
	struct oak_peer_health *h = bpf_map_lookup_elem(&peer_health, &peer);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (h && now - h->heard > OAK_HEARD_NS)
		h->heard = now;
}

/* oak_peer_usable reports whether new flows may go to a peer. That it can be heard does not say that it hears us: a round trip does, which
 * clears asked. Without NetManager nobody asks any more, and to be heard has to do. */
static __always_inline int oak_peer_usable(__u32 index)
{
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	struct oak_peer_health *h = bpf_map_lookup_elem(&peer_health, &index);
	__u64 now;

	if (!peer || !h || peer->state != OAK_PEER_UP)
		return 0;
	now = bpf_ktime_get_coarse_ns();
	if (!h->asked || (__s64)(now - h->asked) < (__s64)OAK_SILENCE_NS)
		return 1;
	return (__s64)(now - h->sent) > (__s64)OAK_UNASKED_NS && h->heard > h->sent;
}

/* oak_rtt_sample takes a round trip to a peer into its smoothed value (RFC 6298, 2). */
static __always_inline void oak_rtt_sample(__u32 peer, __u32 us)
{
	struct oak_peer_health *h = bpf_map_lookup_elem(&peer_health, &peer);
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 off;

	if (!h)
		return;
	if (!h->sampled) {
		h->rtt_us = us;
		h->var_us = us / 2;
	} else {
		off = us > h->rtt_us ? us - h->rtt_us : h->rtt_us - us;
		h->var_us = h->var_us - h->var_us / 4 + off / 4;
		if ((__s64)(now - h->sampled) > (__s64)OAK_SPARSE_NS)
			h->rtt_us = h->rtt_us / 2 + us / 2;
		else
			h->rtt_us = h->rtt_us - h->rtt_us / 8 + us / 8;
	}
	h->sampled = now;
	h->heard = now;
	h->asked = 0;
}

#endif
