// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * The uplink. Ingress: the tunnel's packets, of which none is ever left to the kernel, and nothing else of the overlay. Egress:
 * no overlay address leaves unencapsulated.
 */
#include "include/ingress.h"
#include "include/rate.h"

/* Hello packets a second that NetManager gets to see of one peer, and of all strangers together, of whom each new peer is one. A
 * greeting takes a few; checking one takes NetManager some microseconds. */
#define OAK_HELLOS_PER_PEER 200
#define OAK_HELLOS_OF_STRANGERS 2000

static __always_inline int oak_hello_allowed(__be32 src)
{
	__u64 now = bpf_ktime_get_ns();
	struct oak_addr from;
	__u32 *peer;

	oak_addr_set4(&from, src);
	peer = bpf_map_lookup_elem(&peer_addrs, &from);
	if (peer)
		return oak_allowed(OAK_HELLOS_OF_PEER | *peer, OAK_HELLOS_PER_PEER, now);
	return oak_allowed(OAK_HELLOS_OF_PEER, OAK_HELLOS_OF_STRANGERS, now);
}

static __always_inline int oak_hello_up(struct __sk_buff *skb, __u32 src, __u32 dst, __u16 sport, __u32 off)
{
	struct oak_hello *h;
	__u32 len;

	if (skb->len <= off)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	len = skb->len - off;
	if (len > OAK_HELLO_MAX)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	if (!oak_hello_allowed(src))
		return oak_dropped(skb, OAK_DROP_HELLO_FULL);
	h = bpf_ringbuf_reserve(&events, sizeof(*h), 0);
	if (!h)
		return oak_dropped(skb, OAK_DROP_HELLO_FULL);
	/* Reserved memory is not cleared, and all of it reaches NetManager. */
	__builtin_memset(h, 0, sizeof(*h));
	oak_addr_set4(&h->src, src);
	oak_addr_set4(&h->dst, dst);
	h->sport = bpf_ntohs(sport);
	h->len = len;
	h->ifindex = skb->ifindex;
	/* Changes nothing, since 0 < len <= OAK_HELLO_MAX; but verifiers before 6.8 do not learn from a test for 0 that a size is at
	 * least 1. The compiler, which knows better, is kept from leaving it out. */
	_Static_assert(!(OAK_HELLO_MAX & (OAK_HELLO_MAX - 1)), "the mask below needs a power of two");
	asm volatile("" : "+r"(len));
	len = ((len - 1) & (OAK_HELLO_MAX - 1)) + 1;
	if (bpf_skb_load_bytes(skb, off, h->data, len)) {
		bpf_ringbuf_discard(h, 0);
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	}
	bpf_ringbuf_submit(h, 0);
	oak_stat(skb, OAK_STAT_HELLO);
	return TC_ACT_SHOT;
}

/* oak_from_tunnel handles a packet on the tunnel port; it never returns a verdict that lets it pass. */
static __always_inline int oak_from_tunnel(struct __sk_buff *skb, struct oak_outer4 *outer)
{
	const __u32 inner = ETH_HLEN + OAK_OUTER4;
	struct oak_addr from;
	struct oak_pkt p = {};
	struct oak_ct *e;
	__u32 *peer, index, tag = bpf_ntohl(outer->gpe.vni) >> 8;
	int reason;

	/* Of a VLAN that only shares the cable. Tag 0 is a priority and no VLAN. */
	if (skb->vlan_present && skb->vlan_tci & 0xfff)
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	if (outer->gpe.flags != OAK_GPE_FLAGS || outer->gpe.reserved[0] || outer->gpe.reserved[1] ||
	    outer->gpe.vni & bpf_htonl(0xff))
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	if (outer->gpe.next == OAK_GPE_HELLO)
		return oak_hello_up(skb, outer->ip.saddr, outer->ip.daddr, outer->udp.source, inner);
	oak_addr_set4(&from, outer->ip.saddr);
	peer = bpf_map_lookup_elem(&peer_addrs, &from);
	if (!peer)
		return oak_dropped(skb, OAK_DROP_UNKNOWN_PEER);
	index = *peer;
	if (outer->gpe.next == OAK_GPE_IPV6)
		return oak_dropped(skb, OAK_DROP_FAMILY);
	if (outer->gpe.next != OAK_GPE_IPV4)
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	reason = oak_parse_ip4(skb, inner, &p);
	if (!reason)
		reason = oak_parse_l4(skb, &p);
	if (!reason)
		reason = oak_may_enter(&p, index, tag, 0, &e);
	if (reason)
		return oak_dropped(skb, reason);
	oak_count_peer_rx(skb, index);
	oak_stat(skb, OAK_STAT_FROM_TUNNEL);
	reason = oak_decap(skb);
	if (reason)
		return oak_dropped(skb, reason);
	if (!e) {
		struct oak_addr wanted;

		oak_pending_source(&wanted, &p.key.src);
		return oak_upcall(skb, &wanted, index, tag);
	}
	p.l4 -= OAK_OUTER4;
	return oak_forward(skb, &p, e);
}

static __always_inline int oak_uplink4(struct __sk_buff *skb, struct oak_config *cfg)
{
	void *data, *end;
	struct iphdr *ip;
	struct udphdr *udp;

	oak_pull(skb, ETH_HLEN + OAK_OUTER4 + sizeof(struct iphdr) + sizeof(struct tcphdr));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + ETH_HLEN;
	if ((void *)(ip + 1) > end)
		return TC_ACT_UNSPEC; /* the stack refuses it and counts it */
	if (ip->protocol == IPPROTO_UDP && !(ip->frag_off & bpf_htons(0x1fff))) {
		udp = (void *)ip + ((ip->ihl * 4) & 0x3c);
		if ((void *)(udp + 1) > end)
			return oak_dropped(skb, OAK_DROP_MALFORMED);
		if (udp->dest == bpf_htons(cfg->tunnel_port)) {
			struct oak_outer4 *outer = data + ETH_HLEN;

			if (ip->frag_off & bpf_htons(OAK_IP_FRAGMENT))
				return oak_dropped(skb, OAK_DROP_OUTER_FRAGMENT);
			if (ip->ihl != 5 || (void *)(outer + 1) > end)
				return oak_dropped(skb, OAK_DROP_BAD_HEADER);
			return oak_from_tunnel(skb, outer);
		}
	}
	if (oak_overlay4(cfg, ip->saddr) || oak_overlay4(cfg, ip->daddr))
		return oak_dropped(skb, OAK_DROP_OVERLAY_ON_UPLINK);
	return TC_ACT_UNSPEC;
}

/* The tunnel's port over IPv6 is closed too until the overlay speaks it. Extension headers before UDP reach the kernel's device,
 * which drops what it gets. */
static __always_inline int oak_uplink6(struct __sk_buff *skb, struct oak_config *cfg)
{
	struct {
		__u8 ip[40];
		struct udphdr udp;
	} h;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &h, sizeof(h)))
		return TC_ACT_UNSPEC;
	if (h.ip[6] == IPPROTO_UDP && h.udp.dest == bpf_htons(cfg->tunnel_port))
		return oak_dropped(skb, OAK_DROP_FAMILY);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int oak_uplink_in(struct __sk_buff *skb)
{
	struct oak_config *cfg = oak_cfg();

	if (!cfg)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return oak_uplink4(skb, cfg);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return oak_uplink6(skb, cfg);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int oak_uplink_out(struct __sk_buff *skb)
{
	struct oak_config *cfg = oak_cfg();
	__be32 addrs[2];

	if (!cfg || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), addrs, sizeof(addrs)))
		return TC_ACT_UNSPEC;
	if (oak_overlay4(cfg, addrs[0]) || oak_overlay4(cfg, addrs[1]))
		return oak_dropped(skb, OAK_DROP_OVERLAY_ON_UPLINK);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
