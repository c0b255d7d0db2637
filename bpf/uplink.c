// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * The uplink. Ingress: the tunnel's packets, of which none is ever left to the kernel, nothing else of the overlay, what routers say of the
 * ways to peers, and flows to exposed ports. Egress: no overlay address leaves unencapsulated.
 */
#include "include/cardin.h"
#include "include/echo.h"
#include "include/events.h"
#include "include/former.h"
#include "include/ingress.h"
#include "include/notice.h"
#include "include/outside.h"
#include "include/rate.h"
#include "include/tellpeer.h"
#include "include/toobig.h"

/* Hello packets a second that NetManager gets to see of one peer, and of all strangers together, of whom each new peer is one. A
 * greeting takes a few; checking one takes NetManager some microseconds. */
#define OAK_HELLOS_PER_PEER 200
#define OAK_HELLOS_OF_STRANGERS 2000

/* oak_hello_allowed takes the index of the peer at the packet's address, or 0. */
static __always_inline int oak_hello_allowed(__u32 peer)
{
	__u64 now = bpf_ktime_get_ns();

	return oak_allowed(OAK_HELLOS_OF_PEER | peer, peer ? OAK_HELLOS_PER_PEER : OAK_HELLOS_OF_STRANGERS, now);
}

/* Not static: verified once. */
__attribute__((noinline)) int oak_hello_up(struct __sk_buff *skb, struct oak_addr *src, struct oak_addr *dst, __u32 sport, __u32 off)
{
	struct oak_hello *h;
	__u32 len;

	if (!src || !dst || skb->len <= off)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	len = skb->len - off;
	if (len > OAK_HELLO_MAX)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	if (!oak_hello_allowed(oak_peer_at(src, sport)))
		return oak_dropped(skb, OAK_DROP_HELLO_FULL);
	h = bpf_ringbuf_reserve(&events, sizeof(*h), 0);
	if (!h)
		return oak_dropped(skb, OAK_DROP_HELLO_FULL);
	/* Reserved memory is not cleared, and all of it reaches NetManager. */
	__builtin_memset(h, 0, sizeof(*h));
	h->kind = OAK_EVENT_HELLO;
	h->src = *src;
	h->dst = *dst;
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

/* oak_ask_source hands NetManager a packet of a peer whose source it has to find out. Not static: the stack that it needs is not its callers',
 * who have others to call. */
__attribute__((noinline)) int oak_ask_source(struct __sk_buff *skb, struct oak_pkt *p, __u32 peer, __u32 number)
{
	struct oak_addr wanted;

	if (!p)
		return TC_ACT_SHOT;
	oak_pending_source(&wanted, &p->key.src);
	return oak_upcall(skb, &wanted, peer, number);
}

/* oak_inner handles what a peer has sent, bare of its outer headers. */
static __always_inline int oak_inner(struct __sk_buff *skb, __u32 peer, __u32 number, __u32 tos, const int family)
{
	__u8 tag[3] = {number >> 16, number >> 8, number};
	struct oak_pkt *p = oak_packet();
	void *e = 0;
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	oak_pull(skb, ETH_HLEN + (family == OAK_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct tcphdr));
	reason = oak_parse_ip(skb, ETH_HLEN, p, family);
	if (!reason)
		reason = oak_parse_l4(skb, ETH_HLEN, p, OAK_FROM_PEER | peer, family);
	oak_arrived(skb, tos & OAK_BY_CARD ? OAK_STEP_CARD : OAK_STEP_TUNNEL);
	if (!reason && (tos ^ p->tos) & OAK_ECN_MASK)
		reason = oak_decap_ecn(skb, tos, p->tos, family);
	if (!reason)
		reason = oak_may_enter(skb, p, peer, tag, 0, &e, family);
	if (reason == OAK_ASK)
		return oak_ask_source(skb, p, peer, number);
	if (!e && !reason)
		reason = OAK_DROP_CONNTRACK_FULL;
	if (reason) {
		oak_widen(p, family);
		oak_notice(reason, peer, &p->key.dst, number);
		return oak_answer_peer(skb, p, peer, number, reason);
	}
	oak_count_peer_rx(skb, peer);
	oak_peer_heard(peer);
	return oak_forward(skb, p, e, family);
}

/* Not static: verified once, for any outer header. */
__attribute__((noinline)) int oak_inner4(struct __sk_buff *skb, __u32 peer, __u32 tag, __u32 tos)
{
	return oak_inner(skb, peer, tag, tos, OAK_V4);
}

__attribute__((noinline)) int oak_inner6(struct __sk_buff *skb, __u32 peer, __u32 tag, __u32 tos)
{
	return oak_inner(skb, peer, tag, tos, OAK_V6);
}

OAK_OF_FORMER(oak_of_former44, ETH_HLEN + OAK_OUTER4, OAK_V4)
OAK_OF_FORMER(oak_of_former46, ETH_HLEN + OAK_OUTER4, OAK_V6)
OAK_OF_FORMER(oak_of_former64, ETH_HLEN + OAK_OUTER6, OAK_V4)
OAK_OF_FORMER(oak_of_former66, ETH_HLEN + OAK_OUTER6, OAK_V6)

/* oak_inner_of_former reports the same of a packet that still has its outer headers: once they are off, the former program would not know it. */
static __always_inline int oak_inner_of_former(struct __sk_buff *skb, __u32 where, const int outer, int family)
{
	if (outer == OAK_V4)
		return family == OAK_V4 ? oak_of_former44(skb, where) : oak_of_former46(skb, where);
	return family == OAK_V4 ? oak_of_former64(skb, where) : oak_of_former66(skb, where);
}

/* oak_on_vlan reports whether a packet is of a VLAN that only shares the cable. Tag 0 is a priority and no VLAN. */
static __always_inline int oak_on_vlan(struct __sk_buff *skb)
{
	return skb->vlan_present && skb->vlan_tci & 0xfff;
}

/* oak_from_tunnel handles a packet on the tunnel port. It never returns a verdict that lets it pass but to the former build's program, behind
 * which, if that should be gone, is a device that drops all. */
static __always_inline int oak_from_tunnel(struct __sk_buff *skb, struct oak_peer_addr *from, struct oak_addr *dst, __be16 sport,
					   const struct oak_gpe *at, __u32 tos, const int outer)
{
	struct oak_gpe gpe = *at;
	__u32 inner = ETH_HLEN + (outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6);
	__u32 peer, tag = (__u32)gpe.tag[0] << 16 | (__u32)gpe.tag[1] << 8 | gpe.tag[2];
	int reason;

	if (oak_on_vlan(skb))
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	/* Peers at IPv4 addresses are known by the same form, which nobody has on the wire. */
	if (outer == OAK_V6 && oak_addr_is4(&from->addr))
		return oak_dropped(skb, OAK_DROP_UNKNOWN_PEER);
	if (gpe.flags != OAK_GPE_FLAGS || gpe.reserved[0] || gpe.reserved[1] || gpe.zero)
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	if (gpe.next == OAK_GPE_HELLO)
		return oak_hello_up(skb, &from->addr, dst, sport, inner);
	peer = oak_peer_from(from, sport);
	if (!peer)
		return oak_dropped(skb, OAK_DROP_UNKNOWN_PEER);
	if (gpe.next == OAK_GPE_ECHO)
		return outer == OAK_V4 ? oak_echo4(skb, peer) : oak_echo6(skb, peer);
	if (gpe.next != OAK_GPE_IPV4 && gpe.next != OAK_GPE_IPV6)
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	if (oak_interim && oak_inner_of_former(skb, OAK_FROM_PEER | peer, outer, gpe.next == OAK_GPE_IPV4 ? OAK_V4 : OAK_V6))
		return oak_to_former(skb);
	if (gpe.next == OAK_GPE_IPV4) {
		reason = oak_decap(skb, outer, OAK_V4);
		return reason ? oak_dropped(skb, reason) : oak_inner4(skb, peer, tag, tos);
	}
	reason = oak_decap(skb, outer, OAK_V6);
	return reason ? oak_dropped(skb, reason) : oak_inner6(skb, peer, tag, tos);
}

static __always_inline int oak_uplink4(struct __sk_buff *skb, struct oak_config *cfg)
{
	struct oak_peer_addr from = {}; /* the source, as peers are looked up by; a copy would not fit Linux 6.1's stack */
	struct oak_addr dst;
	__u32 icmp = 0, len = 0;
	void *data, *end;
	struct iphdr *ip;
	struct udphdr *udp;

	oak_pull(skb, ETH_HLEN + OAK_OUTER4);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + ETH_HLEN;
	if ((void *)(ip + 1) > end)
		return TC_ACT_UNSPEC; /* the stack refuses it and counts it */
	oak_addr_set4(&from.addr, ip->saddr);
	oak_addr_set4(&dst, ip->daddr);
	if (ip->protocol == IPPROTO_UDP && !(ip->frag_off & bpf_htons(OAK_IP_OFFSET))) {
		udp = (void *)ip + ((ip->ihl * 4) & 0x3c);
		if ((void *)(udp + 1) > end)
			return oak_dropped(skb, OAK_DROP_MALFORMED);
		if (udp->dest == bpf_htons(cfg->tunnel_port)) {
			struct oak_outer4 *outer = data + ETH_HLEN;

			oak_stat(skb, OAK_STAT_FROM_TUNNEL);
			if (ip->frag_off & bpf_htons(OAK_IP_FRAGMENT))
				return oak_dropped(skb, OAK_DROP_OUTER_FRAGMENT);
			if (ip->ihl != 5 || (void *)(outer + 1) > end)
				return oak_dropped(skb, OAK_DROP_BAD_HEADER);
			return oak_from_tunnel(skb, &from, &dst, outer->udp.source, &outer->gpe, outer->ip.tos, OAK_V4);
		}
	}
	if (ip->protocol == IPPROTO_ICMP && ip->ihl >= 5 && !(ip->frag_off & bpf_htons(OAK_IP_FRAGMENT)) && !oak_on_vlan(skb)) {
		icmp = ip->ihl * 4;
		len = bpf_ntohs(ip->tot_len);
	}
	if (oak_is_overlay(cfg, &from.addr, OAK_V4) || oak_is_overlay(cfg, &dst, OAK_V4))
		return oak_dropped(skb, OAK_DROP_OVERLAY_ON_UPLINK);
	if (icmp)
		oak_path_told4(skb, ETH_HLEN + icmp, ETH_HLEN + len);
	return oak_outside4(skb);
}

/* Extension headers before UDP reach the kernel's device, which drops what it gets. */
static __always_inline int oak_uplink6(struct __sk_buff *skb, struct oak_config *cfg)
{
	struct oak_peer_addr from = {}; /* the source, as peers are looked up by; a copy would not fit Linux 6.1's stack */
	struct oak_addr dst;
	struct oak_outer6 *outer;
	__u32 len = 0;
	void *data, *end;

	oak_pull(skb, ETH_HLEN + OAK_OUTER6);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	outer = data + ETH_HLEN;
	if ((void *)(&outer->ip + 1) > end)
		return TC_ACT_UNSPEC;
	__builtin_memcpy(&from.addr, &outer->ip.saddr, sizeof(from.addr));
	__builtin_memcpy(&dst, &outer->ip.daddr, sizeof(dst));
	if (outer->ip.nexthdr == IPPROTO_UDP) {
		if ((void *)(&outer->udp + 1) > end)
			return oak_dropped(skb, OAK_DROP_MALFORMED);
		if (outer->udp.dest == bpf_htons(cfg->tunnel_port)) {
			oak_stat(skb, OAK_STAT_FROM_TUNNEL);
			if ((void *)(outer + 1) > end)
				return oak_dropped(skb, OAK_DROP_BAD_HEADER);
			return oak_from_tunnel(skb, &from, &dst, outer->udp.source, &outer->gpe,
					       outer->ip.priority << 4 | outer->ip.flow_lbl[0] >> 4, OAK_V6);
		}
	}
	if (outer->ip.nexthdr == OAK_IPPROTO_ICMPV6 && !oak_on_vlan(skb))
		len = bpf_ntohs(outer->ip.payload_len);
	if (oak_is_overlay(cfg, &from.addr, OAK_V6) || oak_is_overlay(cfg, &dst, OAK_V6))
		return oak_dropped(skb, OAK_DROP_OVERLAY_ON_UPLINK);
	if (len)
		oak_path_told6(skb, ETH_HLEN + sizeof(struct ipv6hdr), ETH_HLEN + sizeof(struct ipv6hdr) + len);
	return oak_outside6(skb);
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

/* A packet that the card's program has taken the outer headers off, as oak_card_in has taken down. It never passes. */
SEC("tc")
int oak_from_card(struct __sk_buff *skb)
{
	struct oak_peer *peer;
	struct oak_card told;

	if (!oak_card_noted(skb, &told))
		return oak_dropped(skb, OAK_DROP_DECAP_FAILED);
	oak_card_counted(skb, &told, OAK_STAT_FROM_TUNNEL);
	oak_card_counted(skb, &told, OAK_STAT_BY_CARD);
	/* A card that takes VLANs' headers off by itself has hidden them from its program. */
	if (skb->vlan_present && skb->vlan_tci & 0xfff)
		return oak_dropped(skb, OAK_DROP_BAD_HEADER);
	peer = told.peer ? bpf_map_lookup_elem(&peers, &told.peer) : 0;
	if (!peer || !peer->port)
		return oak_dropped(skb, OAK_DROP_UNKNOWN_PEER);
	/* As for what is stripped here. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return oak_inner4(skb, told.peer, told.tag, told.tos | OAK_BY_CARD);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return oak_inner6(skb, told.peer, told.tag, told.tos | OAK_BY_CARD);
	return oak_dropped(skb, OAK_DROP_BAD_HEADER);
}

/* Where oak_card_in goes on to: what it returns. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, int(struct __sk_buff *));
} card_next SEC(".maps") = {.values = {[0] = (void *)&oak_uplink_in, [1] = (void *)&oak_from_card}};

/* Stands in front of oak_uplink_in where cards' programs take outer headers off. */
SEC("tc")
int oak_card_in(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &card_next, oak_card_note(skb));
	/* NetManager has just put another in its place. */
	return oak_dropped(skb, OAK_DROP_DECAP_FAILED);
}

/* oak_leaves judges a packet on its way out by its addresses. Read in place, without a helper: every packet of the tunnel passes here. */
static __always_inline int oak_leaves(struct __sk_buff *skb, struct oak_config *cfg, const int family)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct oak_addr src, dst;

	if (family == OAK_V4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end) {
			if (oak_addresses(skb, &src, &dst, family))
				return 1;
			return !oak_is_overlay(cfg, &src, family) && !oak_is_overlay(cfg, &dst, family);
		}
		return !oak_in4(&cfg->services4, ip->saddr) && !oak_in4(&cfg->workers4, ip->saddr) &&
		       !oak_in4(&cfg->services4, ip->daddr) && !oak_in4(&cfg->workers4, ip->daddr);
	}
	if (oak_addresses(skb, &src, &dst, family))
		return 1;
	return !oak_is_overlay(cfg, &src, family) && !oak_is_overlay(cfg, &dst, family);
}

SEC("tc")
int oak_uplink_out(struct __sk_buff *skb)
{
	struct oak_config *cfg = oak_cfg();
	int leaves = 1;

	if (!cfg)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		leaves = oak_leaves(skb, cfg, OAK_V4);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		leaves = oak_leaves(skb, cfg, OAK_V6);
	return leaves ? TC_ACT_UNSPEC : oak_dropped(skb, OAK_DROP_OVERLAY_ON_UPLINK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
