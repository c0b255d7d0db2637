/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Parsing: from bytes to the key of a flow. Every length is checked against the packet and against the other lengths in it. */
#ifndef OAK_PARSE_H
#define OAK_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "addr.h"

#define OAK_ICMP_PORT bpf_htons(0x0800) /* stands for the answering side of an echo */

#define OAK_IP_FRAGMENT 0x3fff /* more fragments, or an offset */

/* RFC 792. The kernel's header of it needs a C library. */
struct oak_icmp_echo {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be16 id;
	__be16 sequence;
};

#define OAK_ICMP_ECHO 8
#define OAK_ICMP_ECHOREPLY 0

struct oak_pkt {
	struct oak_ct_key key;
	__u32 l3;       /* offset of the IP header */
	__u32 l4;       /* offset of the transport header */
	__u32 l4_len;   /* that the IP header leaves for it and its payload */
	__u32 ack;      /* TCP, network order */
	__u8 tcp;       /* enum oak_tcp_seen of this packet */
	__u8 may_open;  /* TCP SYN, any UDP, echo request */
	__u8 replaces;  /* it opens a flow on the key of an old one */
};

/* oak_pull makes the first len bytes directly readable, as far as there are that many. */
static __always_inline void oak_pull(struct __sk_buff *skb, __u32 len)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (data + len > end)
		bpf_skb_pull_data(skb, len < skb->len ? len : skb->len);
}

/* oak_parse_ip4 reads the IPv4 header at off: addresses and protocol. Returns a drop reason, or 0. */
static __always_inline int oak_parse_ip4(struct __sk_buff *skb, __u32 off, struct oak_pkt *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + off;
	__u32 len, total;

	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	len = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || len < sizeof(*ip) || total < len || off + total > skb->len)
		return OAK_DROP_MALFORMED;
	oak_addr_set4(&p->key.src, ip->saddr);
	oak_addr_set4(&p->key.dst, ip->daddr);
	p->key.proto = ip->protocol;
	p->l3 = off;
	p->l4 = off + len;
	p->l4_len = total - len;
	return 0;
}

static __always_inline int oak_parse_tcp(void *at, void *end, struct oak_pkt *p)
{
	struct tcphdr *tcp = at;

	if ((void *)(tcp + 1) > end || p->l4_len < sizeof(*tcp) || tcp->doff < 5)
		return OAK_DROP_MALFORMED;
	p->key.sport = tcp->source;
	p->key.dport = tcp->dest;
	p->ack = tcp->ack_seq;
	p->tcp = (tcp->syn ? OAK_TCP_SYN : 0) | (tcp->fin ? OAK_TCP_FIN : 0) | (tcp->rst ? OAK_TCP_RST : 0) |
		 (tcp->ack ? OAK_TCP_ACK : 0);
	p->may_open = p->tcp == OAK_TCP_SYN;
	return 0;
}

static __always_inline int oak_parse_udp(void *at, void *end, struct oak_pkt *p)
{
	struct udphdr *udp = at;

	if ((void *)(udp + 1) > end || p->l4_len < sizeof(*udp))
		return OAK_DROP_MALFORMED;
	p->key.sport = udp->source;
	p->key.dport = udp->dest;
	p->may_open = 1;
	return 0;
}

/* An echo's identifier is the port of who asked; a constant is the port of who answers, so that the two directions of one echo
 * are each other's mirror while an echo asked by the other side is a flow of its own. */
static __always_inline int oak_parse_icmp(void *at, void *end, struct oak_pkt *p)
{
	struct oak_icmp_echo *icmp = at;

	if ((void *)(icmp + 1) > end || p->l4_len < sizeof(*icmp))
		return OAK_DROP_MALFORMED;
	if (icmp->code)
		return OAK_DROP_PROTOCOL;
	switch (icmp->type) {
	case OAK_ICMP_ECHO:
		p->key.sport = icmp->id;
		p->key.dport = OAK_ICMP_PORT;
		p->may_open = 1;
		return 0;
	case OAK_ICMP_ECHOREPLY:
		p->key.sport = OAK_ICMP_PORT;
		p->key.dport = icmp->id;
		return 0;
	}
	return OAK_DROP_PROTOCOL;
}

/* oak_parse_l4 completes the key from the transport header. oak_parse_ip4 has been there. Returns a drop reason, or 0. */
static __always_inline int oak_parse_l4(struct __sk_buff *skb, struct oak_pkt *p)
{
	void *data, *end, *at;
	struct iphdr *ip;

	/* Callers have made readable what there is without options. */
	if (p->l4 > p->l3 + sizeof(*ip))
		oak_pull(skb, p->l4 + sizeof(struct tcphdr));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + p->l3;
	if ((void *)(ip + 1) > end)
		return OAK_DROP_MALFORMED;
	if (ip->frag_off & bpf_htons(OAK_IP_FRAGMENT))
		return OAK_DROP_FRAGMENT;
	/* The mask tells the verifier of kernel 6.1 what ihl's four bits already say. */
	at = (void *)ip + ((ip->ihl * 4) & 0x3c);
	/* One pointer for the check and the reads: computed twice, the verifier would not know the second to be the first. */
	asm volatile("" : "+r"(at));
	switch (p->key.proto) {
	case IPPROTO_TCP:
		return oak_parse_tcp(at, end, p);
	case IPPROTO_UDP:
		return oak_parse_udp(at, end, p);
	case IPPROTO_ICMP:
		return oak_parse_icmp(at, end, p);
	}
	return OAK_DROP_PROTOCOL;
}

#endif
