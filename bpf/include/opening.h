/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opening: what all flows need that begin here. */
#ifndef OAK_OPENING_H
#define OAK_OPENING_H

#include "conntrack.h"

#define OAK_PORT_TRIES 32

/* oak_reply_key finds a key under which the answers can be told from those of other flows: the caller's own port, or another one
 * if the same socket already talks to that instance under another address of it. Returns a drop reason, or 0. */
static __always_inline int oak_reply_key(struct oak_scratch *s)
{
	__u16 port = bpf_ntohs(s->fwd_key.sport);

	for (int i = 0; i < OAK_PORT_TRIES; i++) {
		if (oak_ct_reply_free())
			return 0;
		/* Into the dynamic range of RFC 6335, away from what the socket's owner chose. */
		port = 49152 | ((port + bpf_get_prandom_u32()) & 0x3fff);
		s->rev_key.dport = bpf_htons(port);
	}
	return OAK_DROP_PORT_EXHAUSTED;
}

static __always_inline void oak_tag(__u8 *to, __u32 tag)
{
	to[0] = tag >> 16;
	to[1] = tag >> 8;
	to[2] = tag;
}

#endif
