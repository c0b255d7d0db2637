/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ways to peers: how long a packet may be on each, where a router on it carries less than the interfaces at its ends. Packets of the tunnel
 * are never taken apart on their way (the outer header says so: DF), so a router that cannot pass one on says what it can.
 */
#ifndef OAK_PATH_H
#define OAK_PATH_H

#include "addr.h"
#include "maps.h"

/* What is believed at least of a way: what IPv4 hosts have to take whole (RFC 791), and what IPv6 links have to carry (RFC 8200, 5). */
#define OAK_PATH_LEAST4 576
#define OAK_PATH_LEAST6 1280

/* What fits into the tunnel on every way: the former, less the outer headers. */
#define OAK_PATH_LEAST (OAK_PATH_LEAST4 - 36)

/* What has to fit inside wherever IPv6 is to work: no sender of it goes below, whatever it is told. */
#define OAK_PATH_INSIDE 1280

/* oak_path_holds returns what is known of the way to a peer where it is now, 0 if nothing is. */
static __always_inline __u32 oak_path_holds(const struct oak_path *path, const struct oak_peer *peer)
{
	if (!path->mtu || (__s64)(bpf_ktime_get_coarse_ns() - path->until) >= 0)
		return 0;
	return oak_addr_eq(&path->outer, &peer->outer) && oak_addr_eq(&path->local, &peer->local) ? path->mtu : 0;
}

/* oak_path_known does for a peer's index what oak_path_holds does. Not static: few ways are narrow. */
__attribute__((noinline)) int oak_path_known(__u32 index)
{
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	struct oak_path *path = bpf_map_lookup_elem(&paths, &index);

	return peer && path ? oak_path_holds(path, peer) : 0;
}

/* oak_path_limit returns how long a packet of a family to a peer may be, 0 if as long as it likes: mtu is what the interfaces carry. */
static __always_inline __u32 oak_path_limit(__u32 index, __u32 mtu, const int family)
{
	struct oak_path *path = bpf_map_lookup_elem(&paths, &index);
	__u32 told;

	if (!path || !path->mtu)
		return mtu;
	told = oak_path_known(index);
	/* Where IPv6 does not fit it is the router that drops it: to do so here, for whatever has been said, would help nobody. */
	if (family == OAK_V6 && told && told < OAK_PATH_INSIDE)
		told = OAK_PATH_INSIDE;
	return told && (!mtu || told < mtu) ? told : mtu;
}

#endif
