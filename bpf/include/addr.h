/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses: 16 bytes each, IPv4 mapped into IPv6, save in what is kept for IPv4 alone. */
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

/* oak_addr_is4 reports whether an address is an IPv4 one. No packet of IPv6 with such an address gets past the parser. */
static __always_inline int oak_addr_is4(const struct oak_addr *a)
{
	return oak_word(a, 2) == bpf_htonl(0xffff) && !oak_word(a, 1) && !oak_word(a, 0);
}

static __always_inline int oak_addr_is_zero(const struct oak_addr *a)
{
	return !(oak_word(a, 3) | oak_word(a, 2) | oak_word(a, 1) | oak_word(a, 0));
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

/* oak_in6 does for any address what oak_in4 does for IPv4. */
static __always_inline int oak_in6(const struct oak_prefix *p, const struct oak_addr *a)
{
	return oak_word(&p->mask, 0) && (oak_word(a, 0) & oak_word(&p->mask, 0)) == oak_word(&p->addr, 0) &&
	       (oak_word(a, 1) & oak_word(&p->mask, 1)) == oak_word(&p->addr, 1) &&
	       (oak_word(a, 2) & oak_word(&p->mask, 2)) == oak_word(&p->addr, 2) &&
	       (oak_word(a, 3) & oak_word(&p->mask, 3)) == oak_word(&p->addr, 3);
}

static __always_inline int oak_is_service(const struct oak_config *cfg, const struct oak_addr *a, int family)
{
	return family == OAK_V4 ? oak_in4(&cfg->services4, oak_addr_get4(a)) : oak_in6(&cfg->services6, a);
}

static __always_inline int oak_is_worker(const struct oak_config *cfg, const struct oak_addr *a, int family)
{
	return family == OAK_V4 ? oak_in4(&cfg->workers4, oak_addr_get4(a)) : oak_in6(&cfg->workers6, a);
}

static __always_inline const struct oak_addr *oak_gateway(const struct oak_config *cfg, int family)
{
	return family == OAK_V4 ? &cfg->gateway4 : &cfg->gateway6;
}

/* The overlay's own addresses may not appear outside it. */
static __always_inline int oak_is_overlay(const struct oak_config *cfg, const struct oak_addr *a, int family)
{
	return oak_is_service(cfg, a, family) || oak_is_worker(cfg, a, family);
}

#endif
