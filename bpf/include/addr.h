/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses: 16 bytes each, IPv4 mapped into IPv6. */
#ifndef OAK_ADDR_H
#define OAK_ADDR_H

#include <bpf/bpf_endian.h>

#include "types.h"

static __always_inline __u32 oak_word(const struct oak_addr *a, int i)
{
	return ((const __u32 *)a->b)[i];
}

static __always_inline void oak_addr_set4(struct oak_addr *a, __be32 v4)
{
	__u32 *w = (__u32 *)a->b;

	w[0] = 0;
	w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = v4;
}

static __always_inline __be32 oak_addr_get4(const struct oak_addr *a)
{
	return oak_word(a, 3);
}

static __always_inline int oak_addr_eq(const struct oak_addr *a, const struct oak_addr *b)
{
	return oak_word(a, 3) == oak_word(b, 3) && oak_word(a, 2) == oak_word(b, 2) && oak_word(a, 1) == oak_word(b, 1) &&
	       oak_word(a, 0) == oak_word(b, 0);
}

/* oak_in4 reports whether an IPv4 address lies in a prefix that was written for IPv4. A prefix of length 0 was never set. */
static __always_inline int oak_in4(const struct oak_prefix *p, __be32 v4)
{
	__u32 mask = oak_word(&p->mask, 3);

	return mask && (v4 & mask) == oak_word(&p->addr, 3);
}

/* The overlay's own addresses may not appear outside it. */
static __always_inline int oak_overlay4(const struct oak_config *cfg, __be32 v4)
{
	return oak_in4(&cfg->services4, v4) || oak_in4(&cfg->workers4, v4);
}

#endif
