/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rates: buckets of tokens that refill with time, so that nobody takes more of NetManager's time than his share. */
#ifndef OAK_RATE_H
#define OAK_RATE_H

#include "maps.h"

#define OAK_NS_PER_MS 1000000ULL

/* Whose bucket: the number of a container's interface, which is small, by itself or with the first two of these; or the index of a peer with
 * one of the others; 0: all who are none. */
#define OAK_RESETS_TO 0x20000000
#define OAK_ERRORS_TO 0x40000000
#define OAK_RESETS_OF_OUTSIDE 0x90000000
#define OAK_ERRORS_OF_OUTSIDE 0x98000000
#define OAK_RESETS_OF_PEER 0xa0000000
#define OAK_LOST_OF_PEER 0xb0000000
#define OAK_MISSES_OF_PEER 0x80000000
#define OAK_PATHS_OF_PEER 0xf0000000
#define OAK_HELLOS_OF_PEER 0xc0000000
#define OAK_ECHOES_OF_PEER 0xd0000000
#define OAK_NOTICES_OF_PEER 0xe0000000

/* oak_allowed takes a token out of a bucket that gets so many a second, and holds no more. */
static __always_inline int oak_allowed(__u32 who, __u32 per_second, __u64 now)
{
	__u64 *state = bpf_map_lookup_elem(&miss_rate, &who);
	__u32 ms = now / OAK_NS_PER_MS, tokens = per_second, elapsed, refill;
	__u64 next;

	if (state) {
		tokens = *state >> 32;
		elapsed = ms - (__u32)*state;
		refill = elapsed > 1000 ? per_second : elapsed * per_second / 1000;
		if (tokens + refill > per_second)
			tokens = per_second;
		else if (refill)
			tokens += refill;
		else
			ms = (__u32)*state; /* fractions of a token add up */
	}
	if (!tokens)
		return 0;
	next = (__u64)(tokens - 1) << 32 | ms;
	bpf_map_update_elem(&miss_rate, &who, &next, BPF_ANY);
	return 1;
}

#endif
