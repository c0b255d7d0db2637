/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exposed ports: a port of the worker's own addresses leads to one local instance, for callers outside and for containers of this worker.
 * Processes of the worker itself never pass a program on their way to its own addresses; a firewall rule leads them.
 *
 * What is not of a flow, and may not open one, is the host's: answers to its own connections, whatever port they left from.
 */
#ifndef OAK_EXPOSED_H
#define OAK_EXPOSED_H

#include "conntrack.h"
#include "count.h"
#include "forward.h"
#include "opening.h"

/* oak_exposed returns what is behind a port of this worker's own addresses, or 0. */
static __always_inline struct oak_exposed *oak_exposed(__be16 port, __u8 proto)
{
	struct oak_port key = {.port = bpf_ntohs(port), .proto = proto};

	return bpf_map_lookup_elem(&exposed, &key);
}

/* oak_to_exposed reports whether a packet opens a flow to an exposed port of this worker, as far as can be told at little cost. */
static __always_inline int oak_to_exposed(const struct oak_pkt *p)
{
	__be16 port = p->family == OAK_V4 ? p->key4.dport : p->key.dport;
	struct oak_addr dst = p->key.dst; /* Linux 6.1 takes no key for a map out of an argument's memory */

	return p->may_open && oak_exposed(port, p->proto) && bpf_map_lookup_elem(&own_addrs, &dst);
}

/* oak_open_exposed makes the entries of a flow to an exposed port. A caller outside keeps its address; one of this worker's containers appears
 * as its Instance IP, as to any instance. Returns a drop reason, or 0, or OAK_TAKEN. Not static: verified once. */
__attribute__((noinline)) int oak_open_exposed(struct oak_pkt *p)
{
	struct oak_endpoint *to, *caller = 0;
	struct oak_scratch *s = oak_scratch();
	struct oak_addr src, dst;
	struct oak_exposed *x;
	__u32 ifindex, where;
	__u16 plain = 0;
	__be16 port;
	int v4;

	if (!s || !p)
		return OAK_DROP_CONNTRACK_FULL;
	x = oak_exposed(p->key.dport, p->key.zone >> 24);
	if (!x)
		return OAK_DROP_NO_ENDPOINT;
	ifindex = x->ifindex;
	port = x->port;
	to = bpf_map_lookup_elem(&endpoints, &ifindex);
	if (!to)
		return OAK_DROP_NO_ENDPOINT;
	v4 = p->family == OAK_V4;
	dst = v4 ? to->ns[OAK_V4] : to->ns[OAK_V6];
	src = p->key.src;
	where = p->where;
	if (where != OAK_FROM_OUTSIDE) {
		caller = bpf_map_lookup_elem(&endpoints, &where);
		if (!caller)
			return OAK_DROP_NO_ENDPOINT;
		src = v4 ? caller->inst[OAK_V4] : caller->inst[OAK_V6];
		if (where == ifindex) {
			src = p->key.dst; /* as for who calls himself by his service's address */
			plain = OAK_CT_PLAIN;
		}
	}
	if (oak_addr_is_zero(&dst) || oak_addr_is_zero(&src))
		return OAK_DROP_NO_ENDPOINT; /* it has no address of this family */
	s->fwd_key = p->key;
	if (p->replaces)
		oak_ct_forget();
	p->replaces = 0; /* should this be tried again: another processor may have opened the flow by then */
	if (oak_share_used(oak_whose(where, ifindex), p->family))
		return OAK_DROP_FLOW_SHARE;
	s->rev_key.src = dst;
	s->rev_key.dst = src;
	s->rev_key.sport = port;
	s->rev_key.dport = p->key.sport;
	s->rev_key.zone = oak_zone(p->key.zone >> 24, ifindex);
	if (oak_reply_key(s))
		return OAK_DROP_PORT_EXHAUSTED;

	__builtin_memset(&s->fwd, 0, sizeof(s->fwd));
	__builtin_memset(&s->rev, 0, sizeof(s->rev));
	s->fwd.t.src = src;
	s->fwd.t.dst = dst;
	s->fwd.t.sport = s->rev_key.dport;
	s->fwd.t.dport = port;
	s->fwd.c.flags = OAK_CT_REWRITE | plain;
	s->fwd.c.to = ifindex;

	s->rev.t.src = p->key.dst;
	s->rev.t.dst = p->key.src;
	s->rev.t.sport = p->key.dport;
	s->rev.t.dport = p->key.sport;
	s->rev.c.flags = OAK_CT_REWRITE | OAK_CT_REPLY | plain | (caller ? 0 : OAK_CT_OUT);
	s->rev.c.to = caller ? where : x->uplink;
	oak_ct_stamp(s);
	return oak_ct_insert(s);
}

/* oak_to_exposed_flow opens a flow to an exposed port, with another port where one is taken meanwhile. Returns a drop reason, or 0. */
static __always_inline int oak_to_exposed_flow(struct oak_pkt *p)
{
	int reason = OAK_TAKEN;

	for (int i = 0; i < OAK_OPEN_TRIES && reason == OAK_TAKEN; i++)
		reason = oak_open_exposed(p);
	return reason == OAK_TAKEN ? OAK_DROP_PORT_EXHAUSTED : reason;
}

#endif
