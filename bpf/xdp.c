// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * The uplink's card: what comes to the tunnel's port and would be dropped by the uplink's program for its outer headers alone is dropped
 * before the kernel makes a packet of it, by the same reasons. If it is told to, it takes the outer headers of peers' packets off as well,
 * and says so in front of the packet (include/card.h). Everything else goes on as if this were not here.
 */
#include "include/card.h"
#include "include/count.h"
#include "include/tunnel.h"

/* Whether outer headers are to be taken off. Set when the programs are loaded. */
volatile const __u32 oak_card_decaps = 0;

/* oak_card_drop counts a packet that has its outer headers, as come and as dropped. Not static: verified once. */
__attribute__((noinline)) int oak_card_drop(struct xdp_md *ctx, __u32 reason, struct oak_addr *src, struct oak_addr *dst, __u32 family)
{
	struct oak_trace *t = oak_trace();
	struct oak_counter *c = bpf_map_lookup_elem(&drops, &reason);
	__u32 tunnel = OAK_STAT_FROM_TUNNEL, len = bpf_xdp_get_buff_len(ctx);
	struct oak_told *e;

	if (c) {
		c->packets++;
		c->bytes += len;
	}
	/* The uplink's program would have counted it as having come, too. */
	c = bpf_map_lookup_elem(&stats, &tunnel);
	if (c) {
		c->packets++;
		c->bytes += len;
	}
	if (!t || !t->until || !src || !dst)
		return XDP_DROP;
	e = oak_told_unread(t, ctx->ingress_ifindex, reason, len);
	if (!e)
		return XDP_DROP;
	e->family = family;
	e->src = *src;
	e->dst = *dst;
	bpf_ringbuf_submit(e, 0);
	return XDP_DROP;
}

/* oak_card_peer returns the index of the peer at an address, at any of its ports or at that one; or 0. */
static __always_inline __u32 oak_card_peer(const struct oak_addr *src, __be16 port)
{
	struct oak_peer_addr from = {.addr = *src};
	__u32 *index = bpf_map_lookup_elem(&peer_addrs, &from);

	if (index)
		return *index;
	from.port = bpf_ntohs(port);
	index = bpf_map_lookup_elem(&peer_addrs, &from);
	return index ? *index : 0;
}

/* oak_card_decap takes the outer headers off what a peer has sent. Whatever is out of the ordinary it leaves to the uplink's program as it is:
 * what the driver hands over in several buffers or without room in front, what is longer or shorter than its headers say, and what is larger
 * than the way carries, since only packets that were coalesced are. Not static: verified once. */
__attribute__((noinline)) int oak_card_decap(struct xdp_md *ctx, __u32 index, __u32 outer)
{
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 head = outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6, len = end - data, least, said, mtu;
	struct oak_card told = {.ifindex = ctx->ingress_ifindex, .peer = index, .outer = outer};
	__u8 macs[2 * ETH_ALEN];
	struct oak_card *card;
	struct oak_gpe gpe;
	__be16 proto;

	if (!peer || !peer->port || data + ETH_HLEN + OAK_OUTER4 > end)
		return XDP_PASS;
	mtu = peer->mtu;
	if (outer == OAK_V4) {
		struct oak_outer4 *o = data + ETH_HLEN;

		gpe = o->gpe;
		told.tos = o->ip.tos;
		said = bpf_ntohs(o->ip.tot_len);
	} else {
		struct oak_outer6 *o = data + ETH_HLEN;

		if ((void *)(o + 1) > end)
			return XDP_PASS;
		gpe = o->gpe;
		told.tos = o->ip.priority << 4 | o->ip.flow_lbl[0] >> 4;
		said = bpf_ntohs(o->ip.payload_len) + sizeof(o->ip);
	}
	if (gpe.next != OAK_GPE_IPV4 && gpe.next != OAK_GPE_IPV6)
		return XDP_PASS;
	proto = bpf_htons(gpe.next == OAK_GPE_IPV4 ? ETH_P_IP : ETH_P_IPV6);
	least = head + (gpe.next == OAK_GPE_IPV4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	if (said != len - ETH_HLEN || said < least || (mtu && said - head > mtu) || bpf_xdp_get_buff_len(ctx) != len)
		return XDP_PASS;
	told.tag = (__u32)gpe.tag[0] << 16 | (__u32)gpe.tag[1] << 8 | gpe.tag[2];
	__builtin_memcpy(macs, data, sizeof(macs));

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*card)))
		return XDP_PASS;
	card = (void *)(long)ctx->data_meta;
	data = (void *)(long)ctx->data;
	if ((void *)(card + 1) > data)
		return XDP_PASS;
	/* What an earlier packet has left in this memory is not to count for this one, should it keep its headers. */
	card->magic = 0;
	if (bpf_xdp_adjust_head(ctx, head))
		return XDP_PASS;
	card = (void *)(long)ctx->data_meta;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	/* Neither can be. */
	if ((void *)(card + 1) > data || data + ETH_HLEN > end)
		return oak_card_drop(ctx, OAK_DROP_DECAP_FAILED, 0, 0, outer);
	__builtin_memcpy(data, macs, sizeof(macs));
	*(__be16 *)(data + sizeof(macs)) = proto;
	told.magic = OAK_CARD_MAGIC;
	*card = told;
	return XDP_PASS;
}

/* oak_card_judge judges a packet on the tunnel's port by its header and by who sends it. Hellos are for strangers too. */
static __always_inline int oak_card_judge(struct xdp_md *ctx, const struct oak_gpe *at, struct oak_addr *src, struct oak_addr *dst, __be16 port,
					  const int outer)
{
	struct oak_gpe gpe = *at;
	__u32 peer;

	/* Peers at IPv4 addresses are known by the same form, which nobody has on the wire. */
	if (outer == OAK_V6 && oak_addr_is4(src))
		return oak_card_drop(ctx, OAK_DROP_UNKNOWN_PEER, src, dst, outer);
	if (gpe.flags != OAK_GPE_FLAGS || gpe.reserved[0] || gpe.reserved[1] || gpe.zero)
		return oak_card_drop(ctx, OAK_DROP_BAD_HEADER, src, dst, outer);
	if (gpe.next == OAK_GPE_HELLO)
		return XDP_PASS;
	peer = oak_card_peer(src, port);
	if (!peer)
		return oak_card_drop(ctx, OAK_DROP_UNKNOWN_PEER, src, dst, outer);
	return oak_card_decaps ? oak_card_decap(ctx, peer, outer) : XDP_PASS;
}

SEC("xdp.frags")
int oak_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct oak_config *cfg = oak_cfg();
	struct ethhdr *eth = data;
	struct oak_addr src, dst;

	if (!cfg || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct oak_outer4 *outer = data + ETH_HLEN;

		/* Whatever is shorter, in pieces or has options is the other program's. */
		if ((void *)(outer + 1) > end || *(__u8 *)&outer->ip != 0x45 || outer->ip.protocol != IPPROTO_UDP ||
		    outer->ip.frag_off & bpf_htons(OAK_IP_FRAGMENT) || outer->udp.dest != bpf_htons(cfg->tunnel_port))
			return XDP_PASS;
		oak_addr_set4(&src, outer->ip.saddr);
		oak_addr_set4(&dst, outer->ip.daddr);
		return oak_card_judge(ctx, &outer->gpe, &src, &dst, outer->udp.source, OAK_V4);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct oak_outer6 *outer = data + ETH_HLEN;

		if ((void *)(outer + 1) > end || outer->ip.nexthdr != IPPROTO_UDP || outer->udp.dest != bpf_htons(cfg->tunnel_port))
			return XDP_PASS;
		__builtin_memcpy(&src, &outer->ip.saddr, sizeof(src));
		__builtin_memcpy(&dst, &outer->ip.daddr, sizeof(dst));
		return oak_card_judge(ctx, &outer->gpe, &src, &dst, outer->udp.source, OAK_V6);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
