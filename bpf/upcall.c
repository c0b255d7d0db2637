// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * What NetManager writes back: tc ingress on oak-up0. Only NetManager can send here, so nothing of the Ethernet header is doubted;
 * the packet itself is judged as if it came for the first time.
 */
#include "include/ingress.h"
#include "include/service.h"


static __always_inline int oak_reinject_container(struct __sk_buff *skb, struct oak_pkt *p, const int family)
{
	struct oak_addr src, dst;
	struct oak_endpoint *ep;
	__u32 *ifindex;
	int reason;
	void *e;

	if (oak_addresses(skb, &src, &dst, family))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	oak_pending_down(&dst);
	ifindex = bpf_map_lookup_elem(&local, &src);
	ep = ifindex ? bpf_map_lookup_elem(&endpoints, ifindex) : 0;
	if (!ep)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	reason = oak_parse_l4(skb, ETH_HLEN, p, *ifindex, family);
	oak_arrived(skb, OAK_STEP_BACK);
	if (reason)
		return oak_dropped(skb, reason);
	e = oak_entry(p, family);
	if (e)
		return oak_by_flow(skb, p, e, 1, family);
	oak_widen(p, family);
	return oak_finish(skb, p, oak_open_flow(skb, p, 1), family);
}

static __always_inline int oak_reinject_peer(struct __sk_buff *skb, struct oak_pkt *p, __u32 peer, const __u8 *tag, const int family)
{
	struct oak_addr src, dst, wanted;
	void *e = 0;
	int reason;

	if (oak_addresses(skb, &src, &dst, family))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	oak_pending_source(&wanted, &src);
	oak_pending_down(&wanted);
	reason = oak_parse_l4(skb, ETH_HLEN, p, OAK_FROM_PEER | peer, family);
	oak_arrived(skb, OAK_STEP_BACK);
	if (!reason)
		reason = oak_may_enter(skb, p, peer, tag, 1, &e, family);
	if (reason == OAK_ASK)
		reason = OAK_DROP_BAD_SOURCE;
	if (reason)
		return oak_dropped(skb, reason);
	if (!e)
		return oak_dropped(skb, OAK_DROP_CONNTRACK_FULL);
	return oak_forward(skb, p, e, family);
}

/* oak_reset_along sends a reset by the entry of its flow, which is dead from then on. It is one of the flow's own packets, with the number that its
 * receiver waits for. */
static __always_inline int oak_reset_along(struct __sk_buff *skb, struct oak_pkt *p, __u32 where, const int family)
{
	int reason = oak_parse_l4(skb, ETH_HLEN, p, where, family);
	struct oak_ct *c;
	__u32 was;
	void *e;

	if (reason)
		return oak_dropped(skb, reason);
	e = oak_entry(p, family);
	if (!e || !(p->tcp & OAK_TCP_RST))
		return oak_dropped(skb, OAK_DROP_NO_FLOW);
	c = oak_common(e, family);
	was = oak_mark(c, OAK_CT_CLOSED | OAK_CT_DEAD);
	if (!(was & OAK_CT_CLOSED)) {
		oak_active(c->backend, -1);
		if (was & OAK_CT_ESTABLISHED && !(was & OAK_CT_REPLY))
			oak_charge(oak_whose(where, c->to), family, -1);
	}
	/* Not in the ring of ended flows, which is short: NetManager, which has made this, will forget it. */
	return oak_forward(skb, p, e, family);
}

/* oak_send_peer sends a packet of ours to a peer as it is. */
static __always_inline int oak_send_peer(struct __sk_buff *skb, struct oak_pkt *p, __u32 index, const __u8 *tag, const int family)
{
	struct oak_peer *peer = bpf_map_lookup_elem(&peers, &index);
	int reason = oak_parse_l4(skb, ETH_HLEN, p, 0, family);

	if (reason)
		return oak_dropped(skb, reason);
	if (!peer || !peer->port)
		return oak_dropped(skb, OAK_DROP_PEER_DOWN);
	return oak_encap(skb, peer, index, tag, p, family);
}

static __always_inline int oak_reinject_ip(struct __sk_buff *skb, const struct ethhdr *eth, const int family)
{
	__u32 peer = (__u32)eth->h_dest[2] << 24 | eth->h_dest[3] << 16 | eth->h_dest[4] << 8 | eth->h_dest[5], *ifindex;
	struct oak_addr src, dst;
	struct oak_pkt *p = oak_packet();
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	oak_pull(skb, ETH_HLEN + (family == OAK_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct tcphdr));
	reason = oak_parse_ip(skb, ETH_HLEN, p, family);
	if (reason)
		return oak_dropped(skb, reason);
	/* Its Ethernet address is nobody's here. Kernels that do not scrub redirected packets would have it dropped as a stranger's. */
	bpf_skb_change_type(skb, OAK_PACKET_HOST);
	if (peer == OAK_PEER_DELIVER) {
		if (oak_addresses(skb, &src, &dst, family))
			return oak_dropped(skb, OAK_DROP_MALFORMED);
		ifindex = bpf_map_lookup_elem(&local, &dst);
		if (!ifindex)
			return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
		oak_stat(skb, OAK_STAT_TO_LOCAL);
		return oak_deliver(skb, *ifindex);
	}
	if (peer >> 24 == OAK_PEER_RESET)
		return oak_reset_along(skb, p, peer & OAK_WHERE_MASK, family);
	if (peer >> 24 == OAK_PEER_SEND)
		return oak_send_peer(skb, p, peer & OAK_WHERE_MASK, eth->h_source + 3, family);
	if (peer)
		return oak_reinject_peer(skb, p, peer, eth->h_source + 3, family);
	return oak_reinject_container(skb, p, family);
}

SEC("tc")
int oak_reinject(struct __sk_buff *skb)
{
	struct ethhdr eth;

	oak_stat(skb, OAK_STAT_REINJECTED);
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return oak_reinject_ip(skb, &eth, OAK_V4);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return oak_reinject_ip(skb, &eth, OAK_V6);
	return oak_dropped(skb, OAK_DROP_NOT_IP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
