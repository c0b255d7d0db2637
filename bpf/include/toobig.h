/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What routers say of the ways to peers: ICMP "fragmentation needed" (RFC 1191) and ICMPv6 "packet too big" (RFC 8201) about a packet of the
 * tunnel. The error goes on to the host, whose kernel has a memory of its own for the packets that it sends there itself.
 *
 * Anybody can send such an error, so it has to quote what only a router on the way has seen: the flow inside, with its tag. Who quotes
 * no more than the ports outside, as old routers do, is believed as long as any packet that has to pass inside still does.
 */
#ifndef OAK_TOOBIG_H
#define OAK_TOOBIG_H

#include "count.h"
#include "flowmap.h"
#include "icmp.h"
#include "path.h"
#include "rate.h"
#include "tunnel.h"

/* Quotes of each peer that are looked into, a second: one is enough, and a hundred cost nothing. */
#define OAK_PATHS_PER_PEER 100

/* How long a way is held to be narrow (RFC 8201, 4: not less than 5 minutes, 10 recommended). Set when the programs are loaded. */
volatile const __u64 oak_path_kept_ns = 600ULL * 1000 * 1000 * 1000;

/* What an error quotes proves. */
enum oak_proof {
	OAK_PROOF_NONE = 0,  /* it is not of this tunnel */
	OAK_PROOF_SHORT = 1, /* it ends before the flow's ports, or has none */
	OAK_PROOF_FLOW = 2,
};

/* oak_peer_from returns the index of the peer whose packets come from an address, at any port or at that one; or 0. from's port is 0. */
static __always_inline __u32 oak_peer_from(struct oak_peer_addr *from, __be16 port)
{
	__u32 *index = bpf_map_lookup_elem(&peer_addrs, from);

	if (index)
		return *index;
	from->port = bpf_ntohs(port);
	index = bpf_map_lookup_elem(&peer_addrs, from);
	return index ? *index : 0;
}

static __always_inline __u32 oak_peer_at(const struct oak_addr *src, __be16 port)
{
	struct oak_peer_addr from = {.addr = *src};

	return oak_peer_from(&from, port);
}

/* oak_quoted_tag compares the tag of the flow whose packets come from a peer under a key. Returns enum oak_proof. */
static __always_inline int oak_quoted_tag(const struct oak_key *k, const struct oak_gpe *gpe)
{
	struct oak_key4 k4;
	struct oak_ct4 *e4;
	struct oak_ct6 *e6;
	struct oak_ct *c;

	if (gpe->next == OAK_GPE_IPV4) {
		oak_narrow(&k4, k);
		e4 = oak_flow4(&k4);
		if (!e4)
			return OAK_PROOF_NONE;
		c = &e4->c;
	} else {
		e6 = oak_flow6(k);
		if (!e6)
			return OAK_PROOF_NONE;
		c = &e6->c;
	}
	if (c->tag[0] != gpe->tag[0] || c->tag[1] != gpe->tag[1] || c->tag[2] != gpe->tag[2])
		return OAK_PROOF_NONE;
	return OAK_PROOF_FLOW;
}

/* oak_proof judges a quoted packet to a peer from the tunnel's header on, which begins at at; the error ends at end. It is of ours if
 * its answer would belong to a flow with that peer, of that tag. Returns enum oak_proof. Not static: verified once. */
__attribute__((noinline)) int oak_proof(struct __sk_buff *skb, __u32 at, __u32 end, __u32 peer)
{
	struct oak_key k = {};
	struct oak_icmp head;
	struct oak_gpe gpe;
	__be16 ports[2];
	__u8 proto;

	if (at + sizeof(gpe) > end || bpf_skb_load_bytes(skb, at, &gpe, sizeof(gpe)))
		return OAK_PROOF_SHORT;
	at += sizeof(gpe);
	if (gpe.flags != OAK_GPE_FLAGS || gpe.reserved[0] || gpe.reserved[1] || gpe.zero)
		return OAK_PROOF_NONE;
	if (gpe.next == OAK_GPE_IPV4) {
		struct iphdr ip;

		if (at + sizeof(ip) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return OAK_PROOF_SHORT;
		if (ip.version != 4 || ip.ihl < 5)
			return OAK_PROOF_NONE;
		if (ip.frag_off & bpf_htons(OAK_IP_OFFSET))
			return OAK_PROOF_SHORT;
		oak_addr_set4(&k.src, ip.daddr);
		oak_addr_set4(&k.dst, ip.saddr);
		proto = ip.protocol;
		at += ip.ihl * 4;
	} else if (gpe.next == OAK_GPE_IPV6) {
		struct ipv6hdr ip;

		if (at + sizeof(ip) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return OAK_PROOF_SHORT;
		if (ip.version != 6)
			return OAK_PROOF_NONE;
		__builtin_memcpy(&k.src, &ip.daddr, sizeof(k.src));
		__builtin_memcpy(&k.dst, &ip.saddr, sizeof(k.dst));
		proto = ip.nexthdr;
		at += sizeof(ip);
	} else {
		return OAK_PROOF_NONE; /* hellos and echoes are small */
	}
	if (at + sizeof(head) > end || bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
		return OAK_PROOF_SHORT;
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
		__builtin_memcpy(ports, &head, sizeof(ports));
	else if ((proto != IPPROTO_ICMP && proto != OAK_IPPROTO_ICMPV6) || oak_echo_ports(&head, proto, ports))
		return OAK_PROOF_SHORT; /* a piece of a datagram of IPv6, mostly */
	k.sport = ports[1];
	k.dport = ports[0];
	k.zone = oak_zone(proto, OAK_FROM_PEER | peer);
	return oak_quoted_tag(&k, &gpe);
}

/* What an error says, and of what it quotes the part that is outside. */
struct oak_told_path {
	struct oak_addr to;  /* whom the error is for */
	struct oak_addr src; /* of what is quoted */
	struct oak_addr dst;
	__u32 mtu;
	__u32 len; /* of what is quoted; 0: it does not say (BIG TCP) */
	__be16 sport;
	__be16 dport;
};

/* oak_read_told reads an error, whose ICMP header is at at. Returns 0 if it may be about a packet of the tunnel. */
static __always_inline int oak_read_told(struct __sk_buff *skb, __u32 at, __u32 end, struct oak_told_path *t, const int outer)
{
	struct oak_addr from;
	struct oak_icmp icmp;
	struct udphdr udp;

	if (bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
		return -1;
	at += sizeof(icmp);
	if (outer == OAK_V4) {
		struct iphdr ip;

		if (icmp.type != OAK_ICMP_UNREACHABLE || icmp.code != OAK_ICMP_TOO_BIG ||
		    at + sizeof(ip) + sizeof(udp) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return -1;
		/* As the tunnel makes them: without options, and never to be taken apart. */
		if (*(__u8 *)&ip != 0x45 || ip.protocol != IPPROTO_UDP || ip.frag_off != bpf_htons(0x4000))
			return -1;
		t->mtu = bpf_ntohs(icmp.sequence);
		t->len = bpf_ntohs(ip.tot_len);
		oak_addr_set4(&t->src, ip.saddr);
		oak_addr_set4(&t->dst, ip.daddr);
		at += sizeof(ip);
	} else {
		struct ipv6hdr ip;

		if (icmp.type != OAK_ICMPV6_TOO_BIG || at + sizeof(ip) + sizeof(udp) > end || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return -1;
		if (ip.version != 6 || ip.nexthdr != IPPROTO_UDP)
			return -1;
		t->mtu = (__u32)bpf_ntohs(icmp.id) << 16 | bpf_ntohs(icmp.sequence);
		t->len = ip.payload_len ? bpf_ntohs(ip.payload_len) + sizeof(ip) : 0;
		__builtin_memcpy(&t->src, &ip.saddr, sizeof(t->src));
		__builtin_memcpy(&t->dst, &ip.daddr, sizeof(t->dst));
		if (oak_addr_is4(&t->dst))
			return -1;
		at += sizeof(ip);
	}
	if (bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
		return -1;
	t->sport = udp.source;
	t->dport = udp.dest;
	return oak_addresses(skb, &from, &t->to, outer);
}

/* oak_path_believes judges an error about a packet to a peer, which is quoted from quote on. */
static __always_inline int oak_path_believes(struct __sk_buff *skb, const struct oak_told_path *t, const struct oak_peer *peer, __u32 index,
					     __u32 quote, __u32 end, const int outer)
{
	const __u32 headers = outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6;
	int proof;

	if (!oak_addr_eq(&t->src, &peer->local) || !oak_addr_eq(&t->to, &t->src))
		return 0;
	if (peer->sport ? t->sport != bpf_htons(peer->sport) : bpf_ntohs(t->sport) < OAK_SPORT_FIRST)
		return 0;
	if ((t->len && t->len <= t->mtu) || t->mtu < (outer == OAK_V4 ? OAK_PATH_LEAST4 : OAK_PATH_LEAST6))
		return 0;
	if (!oak_allowed(OAK_PATHS_OF_PEER | index, OAK_PATHS_PER_PEER, bpf_ktime_get_ns()))
		return 0;
	proof = oak_proof(skb, quote + headers - sizeof(struct oak_gpe), end, index);
	return proof == OAK_PROOF_FLOW || (proof == OAK_PROOF_SHORT && t->mtu >= OAK_PATH_INSIDE + headers);
}

/* oak_path_told handles an ICMP packet of the uplink, whose header is at at and which ends at end. Whatever it is, the stack gets it too. */
static __always_inline int oak_path_told(struct __sk_buff *skb, __u32 at, __u32 end, const int outer)
{
	const __u32 headers = outer == OAK_V4 ? OAK_OUTER4 : OAK_OUTER6;
	struct oak_told_path t;
	struct oak_peer *peer;
	struct oak_path *path;
	__u32 index, known;

	if (oak_read_told(skb, at, end, &t, outer))
		return 0;
	index = oak_peer_at(&t.dst, t.dport);
	peer = bpf_map_lookup_elem(&peers, &index);
	path = bpf_map_lookup_elem(&paths, &index);
	/* Of a former address of the peer, or of something else of the host's. */
	if (!index || !peer || !path || peer->port != bpf_ntohs(t.dport) || !oak_addr_eq(&peer->outer, &t.dst))
		return 0;
	known = oak_path_holds(path, peer);
	if (!known || (peer->mtu && peer->mtu < known))
		known = peer->mtu;
	/* Nobody's word makes a way wider. As wide as it is known to be is what is said of packets that had left before that was known. */
	if (known && t.mtu >= known + headers)
		return 0;
	if (!oak_path_believes(skb, &t, peer, index, at + sizeof(struct oak_icmp), end, outer)) {
		oak_stat(skb, OAK_STAT_PATH_REFUSED);
		return 0;
	}
	/* Who looks at it meanwhile finds that nothing was said. */
	path->mtu = 0;
	asm volatile("" ::: "memory");
	path->outer = peer->outer;
	path->local = peer->local;
	path->learned = bpf_ktime_get_coarse_ns();
	path->until = path->learned + oak_path_kept_ns;
	asm volatile("" ::: "memory");
	path->mtu = t.mtu - headers;
	oak_stat(skb, OAK_STAT_PATH_LOWERED);
	return 0;
}

/* Not static: verified once each. */
__attribute__((noinline)) int oak_path_told4(struct __sk_buff *skb, __u32 at, __u32 end)
{
	return oak_path_told(skb, at, end, OAK_V4);
}

__attribute__((noinline)) int oak_path_told6(struct __sk_buff *skb, __u32 at, __u32 end)
{
	return oak_path_told(skb, at, end, OAK_V6);
}

#endif
