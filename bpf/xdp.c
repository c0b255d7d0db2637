// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * The uplink's card: what comes to the tunnel's port and would be dropped by the uplink's program for its outer headers alone is dropped
 * before the kernel makes a packet of it, by the same reasons. Everything else goes on as if this were not here.
 */
#include "include/count.h"
#include "include/tunnel.h"

static __always_inline int oak_xdp_drop(struct xdp_md *ctx, __u32 reason)
{
	struct oak_counter *c = bpf_map_lookup_elem(&drops, &reason);
	__u32 tunnel = OAK_STAT_FROM_TUNNEL;

	if (c) {
		c->packets++;
		c->bytes += ctx->data_end - ctx->data;
	}
	/* The uplink's program would have counted it as having come, too. */
	c = bpf_map_lookup_elem(&stats, &tunnel);
	if (c) {
		c->packets++;
		c->bytes += ctx->data_end - ctx->data;
	}
	return XDP_DROP;
}

/* oak_xdp_known reports whether there is a peer at an address, at any of its ports or at that one. */
static __always_inline int oak_xdp_known(struct oak_peer_addr *from, __be16 port)
{
	if (bpf_map_lookup_elem(&peer_addrs, from))
		return 1;
	from->port = bpf_ntohs(port);
	return !!bpf_map_lookup_elem(&peer_addrs, from);
}

/* oak_xdp_judge judges a packet on the tunnel's port by its header and by who sends it. Hellos are for strangers too. */
static __always_inline int oak_xdp_judge(struct xdp_md *ctx, const struct oak_gpe *gpe, struct oak_peer_addr *from, __be16 port)
{
	if (gpe->flags != OAK_GPE_FLAGS || gpe->reserved[0] || gpe->reserved[1] || gpe->zero)
		return oak_xdp_drop(ctx, OAK_DROP_BAD_HEADER);
	if (gpe->next == OAK_GPE_HELLO)
		return XDP_PASS;
	if (!oak_xdp_known(from, port))
		return oak_xdp_drop(ctx, OAK_DROP_UNKNOWN_PEER);
	return XDP_PASS;
}

SEC("xdp.frags")
int oak_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct oak_config *cfg = oak_cfg();
	struct oak_peer_addr from = {};
	struct ethhdr *eth = data;

	if (!cfg || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct oak_outer4 *outer = data + ETH_HLEN;

		/* Whatever is shorter, in pieces or has options is the other program's. */
		if ((void *)(outer + 1) > end || *(__u8 *)&outer->ip != 0x45 || outer->ip.protocol != IPPROTO_UDP ||
		    outer->ip.frag_off & bpf_htons(OAK_IP_FRAGMENT) || outer->udp.dest != bpf_htons(cfg->tunnel_port))
			return XDP_PASS;
		oak_addr_set4(&from.addr, outer->ip.saddr);
		return oak_xdp_judge(ctx, &outer->gpe, &from, outer->udp.source);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct oak_outer6 *outer = data + ETH_HLEN;

		if ((void *)(outer + 1) > end || outer->ip.nexthdr != IPPROTO_UDP || outer->udp.dest != bpf_htons(cfg->tunnel_port))
			return XDP_PASS;
		__builtin_memcpy(&from.addr, &outer->ip.saddr, sizeof(from.addr));
		return oak_xdp_judge(ctx, &outer->gpe, &from, outer->udp.source);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
