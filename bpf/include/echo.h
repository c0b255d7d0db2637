/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Echoes: how long the way to a peer is and back, and whether it leads there at all. NetManager sends requests; answering them and
 * taking answers needs none. An answer goes to a peer's address only, is no longer than its request, and is believed only with the
 * request's number.
 */
#ifndef OAK_ECHO_H
#define OAK_ECHO_H

#include "count.h"
#include "health.h"
#include "tunnel.h"

#define OAK_ECHO_MAGIC 0x6f616b65 /* "oake" */
#define OAK_ECHOES_PER_PEER 50    /* a second */
#define OAK_ECHO_LATE_NS (60000 * OAK_NS_PER_MS)

struct oak_echo {
	__be32 magic;
	__be16 request; /* 1 in a request, 0 in an answer */
	__be16 answer;  /* the other way round, so that the sum over both, and UDP's checksum, stay what they were */
	__u64 nonce;
};

/* oak_echo_taken takes an answer's round trip in. Returns a drop reason, or 0. */
static __always_inline int oak_echo_taken(__u32 peer, __u64 nonce)
{
	struct oak_peer_health *h = bpf_map_lookup_elem(&peer_health, &peer);
	__u64 now = bpf_ktime_get_ns(), took;

	if (!h || !nonce || h->nonce != nonce)
		return OAK_DROP_ECHO;
	h->nonce = 0; /* each counts once */
	took = now - h->sent;
	if (took > OAK_ECHO_LATE_NS)
		return OAK_DROP_ECHO;
	oak_rtt_sample(peer, took < 1000 ? 1 : took / 1000);
	return 0;
}

static __always_inline void oak_swap_addrs(void *a, void *b, const int words)
{
	__u32 *x = a, *y = b, t;

#pragma unroll
	for (int i = 0; i < words; i++) {
		t = x[i];
		x[i] = y[i];
		y[i] = t;
	}
}

/* oak_echo handles an echo of a known peer; none of it reaches the kernel. */
static __always_inline int oak_echo(struct __sk_buff *skb, __u32 peer, const int outer)
{
	const __u32 off = ETH_HLEN + (outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6);
	struct oak_echo *echo;
	struct udphdr *udp;
	struct ethhdr *eth;
	__u8 mac[ETH_ALEN];
	void *data, *end;
	__be16 port;
	int reason;

	oak_pull(skb, off + sizeof(*echo));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	eth = data;
	echo = data + off;
	if ((void *)(echo + 1) > end || echo->magic != bpf_htonl(OAK_ECHO_MAGIC))
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	if (echo->request == 0 && echo->answer == bpf_htons(1)) {
		reason = oak_echo_taken(peer, echo->nonce);
		if (reason)
			return oak_dropped(skb, reason);
		oak_stat(skb, OAK_STAT_ECHO);
		return TC_ACT_SHOT;
	}
	if (echo->request != bpf_htons(1) || echo->answer)
		return oak_dropped(skb, OAK_DROP_MALFORMED);
	if (!oak_allowed(OAK_ECHOES_OF_PEER | peer, OAK_ECHOES_PER_PEER, bpf_ktime_get_ns()))
		return oak_dropped(skb, OAK_DROP_ECHO);
	oak_peer_heard(peer);
	echo->request = 0;
	echo->answer = bpf_htons(1);
	if (outer == OAK_V4) {
		struct oak_outer4 *o = data + ETH_HLEN;

		oak_swap_addrs(&o->ip.saddr, &o->ip.daddr, 1);
		o->ip.ttl = 64;
		o->ip.id = 0;
		oak_ip_checksum(&o->ip);
		udp = &o->udp;
	} else {
		struct oak_outer6 *o = data + ETH_HLEN;

		oak_swap_addrs(&o->ip.saddr, &o->ip.daddr, 4);
		o->ip.hop_limit = 64;
		udp = &o->udp;
	}
	port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
	oak_stat(skb, OAK_STAT_ECHO);
	return bpf_redirect(skb->ifindex, 0);
}

/* Not static: verified once each. */
__attribute__((noinline)) int oak_echo4(struct __sk_buff *skb, __u32 peer)
{
	return oak_echo(skb, peer, OAK_V4);
}

__attribute__((noinline)) int oak_echo6(struct __sk_buff *skb, __u32 peer)
{
	return oak_echo(skb, peer, OAK_V6);
}

#endif
