// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * What a container sends: tc ingress on the host side of its veth.
 */
#include "include/former.h"
#include "include/service.h"

/* oak_is_tunnel reports whether a datagram for the outside goes to the tunnel's port, of anybody or of that peer. It would leave with
 * this worker's address, and so as if this worker had sent it. */
static __always_inline int oak_is_tunnel(struct __sk_buff *skb, struct oak_config *cfg, const struct oak_pkt *p)
{
	struct oak_peer_addr to = {.addr = p->key.dst};
	struct oak_peer *peer;
	__u32 *index;
	__be16 ports[2];

	if (p->proto != IPPROTO_UDP || p->piece == OAK_LATER_PIECE || bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
		return 0;
	if (ports[1] == bpf_htons(cfg->tunnel_port))
		return 1;
	index = bpf_map_lookup_elem(&peer_addrs, &to);
	peer = index ? bpf_map_lookup_elem(&peers, index) : 0;
	if (peer)
		return ports[1] == bpf_htons(peer->port);
	to.port = bpf_ntohs(ports[1]);
	return !!bpf_map_lookup_elem(&peer_addrs, &to);
}

static __always_inline int oak_is_group(const struct oak_addr *a, const int family)
{
	__u8 first = family == OAK_V4 ? a->b[12] : a->b[0];

	return family == OAK_V4 ? first >= 224 || first == 0 : first == 0xff || oak_addr_is_zero(a);
}

/* oak_to_host lets through what is not for the overlay: to the worker's own stack, and by it to the outside. */
static __always_inline int oak_to_host(struct __sk_buff *skb, struct oak_config *cfg, const struct oak_pkt *p, const int family)
{
	if (oak_is_worker(cfg, &p->key.dst, family) && !oak_addr_eq(&p->key.dst, oak_gateway(cfg, family)))
		return oak_dropped(skb, OAK_DROP_NAMESPACE_IP);
	if (oak_is_group(&p->key.dst, family))
		return oak_dropped(skb, OAK_DROP_BROADCAST);
	if (oak_is_tunnel(skb, cfg, p))
		return oak_dropped(skb, OAK_DROP_SPOOFED_SOURCE);
	oak_step(skb, p, OAK_STEP_STACK, 0, 0);
	oak_stat(skb, OAK_STAT_TO_STACK);
	return TC_ACT_UNSPEC;
}

/* oak_no_flow handles a packet that belongs to no flow of its sender's: it is for the outside, or opens one. Reason is what is wrong with
 * it, of which the outside need not care. Not static: verified once. Returns a verdict, or OAK_OPEN. */
__attribute__((noinline)) int oak_no_flow(struct __sk_buff *skb, struct oak_pkt *p, __u32 ifindex, int reason)
{
	struct oak_endpoint *ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	struct oak_config *cfg = oak_cfg();
	struct oak_addr src, dst;
	int v4;

	if (!ep || !cfg || !p)
		return oak_dropped(skb, OAK_DROP_NO_ENDPOINT);
	v4 = p->family == OAK_V4;
	/* An error's key is that of what it quotes; here counts who sends it, and to whom. */
	if (v4 ? oak_addresses(skb, &src, &dst, OAK_V4) : oak_addresses(skb, &src, &dst, OAK_V6))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	p->key.src = src;
	p->key.dst = dst;
	if (v4 ? !oak_addr_eq(&src, &ep->ns[OAK_V4]) : !oak_addr_eq(&src, &ep->ns[OAK_V6]))
		return oak_dropped(skb, reason == OAK_DROP_NEIGHBOUR ? reason : OAK_DROP_SPOOFED_SOURCE);
	if (!reason && !p->quoted && oak_to_exposed(p)) {
		if (v4)
			oak_widen(p, OAK_V4);
		return OAK_OPEN;
	}
	if (v4 ? !oak_is_service(cfg, &dst, OAK_V4) : !oak_is_service(cfg, &dst, OAK_V6))
		return v4 ? oak_to_host(skb, cfg, p, OAK_V4) : oak_to_host(skb, cfg, p, OAK_V6);
	if (reason)
		return oak_dropped(skb, reason);
	if (p->quoted)
		return oak_dropped(skb, OAK_DROP_NO_FLOW);
	if (v4)
		oak_widen(p, OAK_V4);
	return OAK_OPEN;
}

static __always_inline int oak_from_container(struct __sk_buff *skb, __u32 ifindex, const int family)
{
	struct oak_pkt *p = oak_packet();
	int reason;
	void *e;

	if (!p)
		return TC_ACT_SHOT;
	oak_pull(skb, ETH_HLEN + (family == OAK_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct tcphdr));
	reason = oak_parse_ip(skb, ETH_HLEN, p, family);
	if (reason)
		return oak_dropped(skb, reason);
	reason = oak_parse_l4(skb, ETH_HLEN, p, ifindex, family);
	oak_arrived(skb, OAK_STEP_CONTAINER);
	/* The key names the interface that the packet came in by: a hit needs no other proof of who sent it. */
	if (!reason) {
		e = oak_entry(p, family);
		if (e)
			return oak_by_flow(skb, p, e, 0, family);
	}
	reason = oak_no_flow(skb, p, ifindex, reason);
	if (reason != OAK_OPEN)
		return reason;
	return oak_finish(skb, p, oak_open_flow(skb, p, 0), family);
}

SEC("tc")
int oak_container(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;

	/* Read here: the compiler would share the reads of both families by way of a pointer that the verifier refuses. */
	asm volatile("" : "+r"(ifindex));
	oak_stat(skb, OAK_STAT_FROM_CONTAINER);
	/* The kernel has taken a VLAN's tag off, but would put it on again outside: containers have no say in the underlay's VLANs. */
	if (skb->vlan_present)
		return oak_dropped(skb, OAK_DROP_NOT_IP);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (oak_interim && oak_of_former4(skb, ifindex))
			return oak_to_former(skb);
		return oak_from_container(skb, ifindex, OAK_V4);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (oak_interim && oak_of_former6(skb, ifindex))
			return oak_to_former(skb);
		return oak_from_container(skb, ifindex, OAK_V6);
	}
	return oak_dropped(skb, OAK_DROP_NOT_IP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
