/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Outside: what reaches the uplink and is not of the overlay. All of it is the host's, save flows to exposed ports. */
#ifndef OAK_OUTSIDE_H
#define OAK_OUTSIDE_H

#include "exposed.h"
#include "former.h"

/* oak_host_has reports whether a process of the host has this very connection: one that it opened from a port which is exposed now. Who
 * merely listens on such a port has it not. */
static __always_inline int oak_host_has(struct __sk_buff *skb, const struct oak_pkt *p, const int family)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size, state;

	if (family == OAK_V4) {
		t.ipv4.saddr = p->key4.src;
		t.ipv4.daddr = p->key4.dst;
		t.ipv4.sport = p->key4.sport;
		t.ipv4.dport = p->key4.dport;
		size = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, &p->key.src, sizeof(t.ipv6.saddr));
		__builtin_memcpy(t.ipv6.daddr, &p->key.dst, sizeof(t.ipv6.daddr));
		t.ipv6.sport = p->key.sport;
		t.ipv6.dport = p->key.dport;
		size = sizeof(t.ipv6);
	}
	/* The two are of different types to the verifier, so nothing of what follows may be shared. */
	if (p->proto == IPPROTO_TCP) {
		sk = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		state = sk->state;
		bpf_sk_release(sk);
		asm volatile("" : "+r"(state));
		return state != BPF_TCP_LISTEN;
	}
	sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state == BPF_TCP_ESTABLISHED;
}

/* oak_refuse_outside drops what opens a flow that is refused, and says so to who has sent it. Not static: verified once. */
__attribute__((noinline)) int oak_refuse_outside(struct __sk_buff *skb, struct oak_pkt *p, int reason)
{
	int verdict = oak_dropped(skb, reason), tcp;
	__u32 ifindex = skb->ifindex;

	if (!p || reason != OAK_DROP_FLOW_SHARE || skb->pkt_type == OAK_PACKET_BROADCAST || skb->pkt_type == OAK_PACKET_MULTICAST)
		return verdict;
	tcp = p->proto == IPPROTO_TCP;
	if (!oak_answer_allowed(tcp ? OAK_RESETS_OF_OUTSIDE : OAK_ERRORS_OF_OUTSIDE, tcp ? OAK_RESETS_PER_SECOND : OAK_ERRORS_PER_SECOND) ||
	    oak_make_refusal(skb, p))
		return verdict;
	oak_stat(skb, OAK_STAT_ANSWERED);
	return bpf_redirect_neigh(ifindex, 0, 0, 0);
}

/* oak_outside_open opens the flow of a packet to an exposed port, if there is one and the host has no flow of its own there. Returns
 * OAK_OPENED, or a verdict. */
static __always_inline int oak_outside_open(struct __sk_buff *skb, struct oak_pkt *p, const int family)
{
	int reason;

	oak_widen(p, family);
	if (p->quoted || !oak_to_exposed(p) || oak_host_has(skb, p, family))
		return TC_ACT_UNSPEC;
	reason = oak_to_exposed_flow(p);
	oak_arrived(skb, OAK_STEP_OUTSIDE);
	if (!reason) {
		oak_step(skb, p, OAK_STEP_OPENED, 0, 0);
		return OAK_OPENED;
	}
	oak_stat(skb, OAK_STAT_FROM_OUTSIDE);
	return oak_refuse_outside(skb, p, reason);
}

/* oak_outside handles what reaches the uplink bare: packets of flows to exposed ports go to their instances, all else to the host. Most is
 * not to an exposed port and costs one look into a small map. */
static __always_inline int oak_outside(struct __sk_buff *skb, const int family)
{
	struct oak_pkt *p = oak_packet();
	__be16 ports[2];
	int result;
	void *e;

	/* What is malformed is the stack's to refuse and count. */
	if (!p || oak_parse_ip(skb, ETH_HLEN, p, family))
		return TC_ACT_UNSPEC;
	if (p->piece != OAK_LATER_PIECE && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP) &&
	    (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)) || !oak_exposed(ports[1], p->proto)))
		return TC_ACT_UNSPEC;
	if (oak_interim && (family == OAK_V4 ? oak_of_former4(skb, OAK_FROM_OUTSIDE) : oak_of_former6(skb, OAK_FROM_OUTSIDE)))
		return TC_ACT_UNSPEC; /* whether it is the host's is the former programs' to say, who count it then */
	if (oak_parse_l4(skb, ETH_HLEN, p, OAK_FROM_OUTSIDE, family))
		return TC_ACT_UNSPEC;
	e = oak_entry(p, family);
	if (e && p->tcp == OAK_TCP_SYN) {
		oak_widen(p, family);
		if (oak_ct_ended(&p->key)) {
			p->replaces = 1;
			e = 0;
		}
	}
	if (!e) {
		result = oak_outside_open(skb, p, family);
		if (result != OAK_OPENED)
			return result;
		e = oak_entry(p, family);
	} else {
		oak_arrived(skb, OAK_STEP_OUTSIDE);
	}
	oak_stat(skb, OAK_STAT_FROM_OUTSIDE);
	return e ? oak_forward(skb, p, e, family) : oak_dropped(skb, OAK_DROP_CONNTRACK_FULL);
}

/* Not static: verified once. */
__attribute__((noinline)) int oak_outside4(struct __sk_buff *skb)
{
	return oak_outside(skb, OAK_V4);
}

__attribute__((noinline)) int oak_outside6(struct __sk_buff *skb)
{
	return oak_outside(skb, OAK_V6);
}

#endif
