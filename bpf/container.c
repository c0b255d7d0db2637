// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * What a container sends: tc ingress on the host side of its veth.
 */
#include "include/service.h"

/* oak_is_tunnel reports whether a datagram for the outside goes to the tunnel's port, of anybody or of that peer. It would leave with
 * this worker's address, and so as if this worker had sent it. */
static __always_inline int oak_is_tunnel(struct __sk_buff *skb, struct oak_config *cfg, const struct oak_pkt *p)
{
	__u32 *index = bpf_map_lookup_elem(&peer_addrs, &p->key.dst);
	struct oak_peer *peer = index ? bpf_map_lookup_elem(&peers, index) : 0;
	__be16 first[4];

	if (p->key.proto != IPPROTO_UDP || bpf_skb_load_bytes(skb, p->l4, first, sizeof(first)))
		return 0;
	return first[1] == bpf_htons(cfg->tunnel_port) || (peer && first[1] == bpf_htons(peer->port));
}

/* oak_to_host lets through what is not for the overlay: to the worker's own stack, and by it to the outside. */
static __always_inline int oak_to_host(struct __sk_buff *skb, struct oak_config *cfg, const struct oak_pkt *p)
{
	__be32 dst = oak_addr_get4(&p->key.dst);
	__u8 first = bpf_ntohl(dst) >> 24;

	if (oak_in4(&cfg->workers4, dst) && dst != oak_addr_get4(&cfg->gateway4))
		return oak_dropped(skb, OAK_DROP_NAMESPACE_IP);
	if (first >= 224 || first == 0)
		return oak_dropped(skb, OAK_DROP_BROADCAST);
	if (oak_is_tunnel(skb, cfg, p))
		return oak_dropped(skb, OAK_DROP_SPOOFED_SOURCE);
	oak_stat(skb, OAK_STAT_TO_STACK);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int oak_container(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct oak_endpoint *ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	struct oak_config *cfg = oak_cfg();
	struct oak_pkt p = {};
	int reason;

	if (!ep || !cfg)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	/* The kernel has taken a VLAN's tag off, but would put it on again outside: containers have no say in the underlay's VLANs. */
	if (skb->vlan_present)
		return oak_dropped(skb, OAK_DROP_NOT_IP);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return oak_dropped(skb, OAK_DROP_FAMILY);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return oak_dropped(skb, OAK_DROP_NOT_IP);
	oak_pull(skb, ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr));
	reason = oak_parse_ip4(skb, ETH_HLEN, &p);
	if (reason)
		return oak_dropped(skb, reason);
	if (!oak_addr_eq(&p.key.src, &ep->ns[OAK_V4]))
		return oak_dropped(skb, OAK_DROP_SPOOFED_SOURCE);
	if (!oak_in4(&cfg->services4, oak_addr_get4(&p.key.dst)))
		return oak_to_host(skb, cfg, &p);
	oak_stat(skb, OAK_STAT_FROM_CONTAINER);
	reason = oak_parse_l4(skb, &p);
	if (reason)
		return oak_dropped(skb, reason);
	return oak_from_container(skb, ep, &p, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
