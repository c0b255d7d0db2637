// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//go:build ignore

/*
 * The least that a tunnel between veths can do: nothing is looked up, checked, translated, counted or remembered. IPv4 alone. What the programs
 * need to know is written into them as they are loaded.
 */
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BARE_CONTAINERS 16 /* a worker: power of two */

struct bare_outer {
	struct iphdr ip;
	struct udphdr udp;
	__u8 gpe[8];
} __attribute__((packed));

#define BARE_OUTER ((__s32)sizeof(struct bare_outer))

/* The host side of each container of this worker, by the last byte of its address; 0 where there is none. */
volatile const __u32 here[BARE_CONTAINERS];
/* The third byte of the addresses of this worker's containers. */
volatile const __u32 subnet;
/* The outer headers to the other worker, without lengths, and the sum over the words of the IP header. */
volatile const __u32 outer[sizeof(struct bare_outer) / 4];
volatile const __u32 outer_sum;
volatile const __be32 neighbour;
volatile const __u32 uplink;
volatile const __u32 port;

static __always_inline __u32 at(__be32 address)
{
	__u32 n = bpf_ntohl(address);

	if ((n >> 8 & 0xff) != subnet)
		return 0;
	return here[n & (BARE_CONTAINERS - 1)];
}

/* What a container sends: tc ingress on the host side of its veth. */
SEC("tc")
int bare_container(struct __sk_buff *skb)
{
	const __u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u32 len = skb->len - ETH_HLEN, sum, to;
	struct bpf_redir_neigh next = {.nh_family = 2};
	struct bare_outer *o;

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	to = at(ip->daddr);
	if (to)
		return bpf_redirect_peer(to, 0);
	if (bpf_skb_adjust_room(skb, BARE_OUTER, BPF_ADJ_ROOM_MAC, flags))
		return TC_ACT_SHOT;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	o = data + ETH_HLEN;
	if ((void *)(o + 1) > end)
		return TC_ACT_SHOT;
#pragma unroll
	for (__u32 i = 0; i < sizeof(*o) / 4; i++)
		((__u32 *)o)[i] = outer[i];
	o->ip.tot_len = bpf_htons(len + sizeof(*o));
	sum = outer_sum + o->ip.tot_len;
	sum = (sum & 0xffff) + (sum >> 16);
	o->ip.check = ~((sum & 0xffff) + (sum >> 16));
	o->udp.len = bpf_htons(len + sizeof(*o) - sizeof(o->ip));
	next.ipv4_nh = neighbour;
	return bpf_redirect_neigh(uplink, &next, sizeof(next), 0);
}

/* What comes from the other worker: tc ingress on the uplink. */
SEC("tc")
int bare_uplink(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct bare_outer *o = data + ETH_HLEN;
	struct iphdr *ip = (void *)(o + 1);
	__u32 to;

	if ((void *)(ip + 1) > end || skb->protocol != bpf_htons(ETH_P_IP) || o->ip.protocol != IPPROTO_UDP || o->udp.dest != bpf_htons(port))
		return TC_ACT_UNSPEC;
	to = at(ip->daddr);
	if (!to || bpf_skb_adjust_room(skb, -BARE_OUTER, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return TC_ACT_SHOT;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return bpf_redirect_peer(to, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
