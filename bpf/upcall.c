// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * What NetManager writes back: tc ingress on oak-up0. Only NetManager can send here, so nothing of the Ethernet header is doubted;
 * the packet itself is judged as if it came for the first time.
 */
#include "include/ingress.h"
#include "include/service.h"

#define OAK_PACKET_HOST 0 /* linux/if_packet.h, which needs a C library */

static __always_inline int oak_reinject_container(struct __sk_buff *skb, struct oak_pkt *p)
{
	struct oak_addr src = p->key.src;
	__u32 *ifindex = bpf_map_lookup_elem(&local, &src);
	struct oak_endpoint *ep = ifindex ? bpf_map_lookup_elem(&endpoints, ifindex) : 0;

	oak_pending_down(&p->key.dst);
	if (!ep)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	return oak_from_container(skb, ep, p, 1);
}

static __always_inline int oak_reinject_peer(struct __sk_buff *skb, struct oak_pkt *p, __u32 peer, __u32 tag)
{
	struct oak_addr wanted;
	struct oak_ct *e;
	int reason;

	oak_pending_source(&wanted, &p->key.src);
	oak_pending_down(&wanted);
	reason = oak_may_enter(p, peer, tag, 1, &e);
	if (reason)
		return oak_dropped(skb, reason);
	/* Of its own, so that Linux 6.1 sees it: it does not know the range of what a function that it verified apart returns. */
	if (!e)
		return oak_dropped(skb, OAK_DROP_BAD_SOURCE);
	return oak_forward(skb, p, e);
}

SEC("tc")
int oak_reinject(struct __sk_buff *skb)
{
	struct oak_pkt p = {};
	struct ethhdr eth;
	__u32 peer, tag, *ifindex;
	int reason;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return oak_dropped(skb, OAK_DROP_NOT_IP);
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	peer = (__u32)eth.h_dest[2] << 24 | eth.h_dest[3] << 16 | eth.h_dest[4] << 8 | eth.h_dest[5];
	tag = eth.h_source[3] << 16 | eth.h_source[4] << 8 | eth.h_source[5];
	oak_pull(skb, ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr));
	reason = oak_parse_ip4(skb, ETH_HLEN, &p);
	if (reason)
		return oak_dropped(skb, reason);
	/* Its Ethernet address is nobody's here. Kernels that do not scrub redirected packets would have it dropped as a stranger's. */
	bpf_skb_change_type(skb, OAK_PACKET_HOST);
	oak_stat(skb, OAK_STAT_REINJECTED);
	if (peer == OAK_PEER_DELIVER) {
		ifindex = bpf_map_lookup_elem(&local, &p.key.dst);
		if (!ifindex)
			return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
		oak_stat(skb, OAK_STAT_TO_LOCAL);
		return bpf_redirect_peer(*ifindex, 0);
	}
	reason = oak_parse_l4(skb, &p);
	if (reason)
		return oak_dropped(skb, reason);
	if (peer)
		return oak_reinject_peer(skb, &p, peer, tag);
	return oak_reinject_container(skb, &p);
}

char _license[] SEC("license") = "Dual BSD/GPL";
