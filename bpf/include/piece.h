/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pieces: a datagram's later ones have no ports, and go where its first one has gone. Part of parse.h. */
#ifndef OAK_PIECE_H
#define OAK_PIECE_H

/* oak_piece notes the ports of a datagram's first piece, or finds them for a later one. Returns a drop reason, or 0. */
__attribute__((noinline)) int oak_piece(struct oak_pkt *p)
{
	struct oak_fragment_key key = {};
	struct oak_fragment *f, ports = {};

	if (!p)
		return OAK_DROP_FRAGMENT;
	if (p->family == OAK_V4) {
		oak_addr_set4(&key.src, p->key4.src);
		oak_addr_set4(&key.dst, p->key4.dst);
	} else {
		key.src = p->key.src;
		key.dst = p->key.dst;
	}
	key.id = p->id;
	/* Of IPv6 a later piece may name a header that the first one has gone past (RFC 8200, 4.5): there the protocol is the first's. */
	key.zone = oak_zone(p->family == OAK_V4 ? p->proto : 0, p->where);
	if (p->piece == OAK_FIRST_PIECE) {
		ports.sport = p->family == OAK_V4 ? p->key4.sport : p->key.sport;
		ports.dport = p->family == OAK_V4 ? p->key4.dport : p->key.dport;
		ports.may_open = p->may_open;
		ports.proto = p->proto;
		bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
		return 0;
	}
	f = bpf_map_lookup_elem(&fragments, &key);
	if (!f)
		return OAK_DROP_FRAGMENT;
	p->key.sport = p->key4.sport = f->sport;
	p->key.dport = p->key4.dport = f->dport;
	p->proto = f->proto;
	p->key.zone = p->key4.zone = oak_zone(f->proto, p->where);
	p->may_open = f->may_open;
	return 0;
}

#endif
