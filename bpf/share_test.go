// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// limited makes the worker grant each endpoint so many established flows of a family.
func (k *kernel) limited(flows uint32) {
	k.t.Helper()
	cfg, _, err := k.maps.Config.Lookup(0)
	must(k.t, err)
	cfg.FlowShare = [2]uint32{flows, flows}
	must(k.t, k.maps.Config.Put(0, cfg))
}

// charged holds how many flows an endpoint is charged, of that family and of the other.
func (k *kernel) charged(what string, ifindex uint32, family int, want uint32) {
	k.t.Helper()
	s, _, err := k.maps.Shares.Lookup(ifindex)
	must(k.t, err)
	if s.Flows[family] != want || s.Flows[1-family] != 0 {
		k.t.Errorf("%s: interface %d is charged %v flows, want %d", what, ifindex, s.Flows, want)
	}
}

// conversation is a way in which flows come to be: what its opener sends and gets, by the opener's port.
type conversation struct {
	name           string
	charged, other uint32 // interfaces: of who is charged, and of who is not
	there, back    func(k *kernel, f pairing, port uint16, flags uint8) (verdict uint32, out []byte)
}

var conversations = []conversation{
	{"with another worker", loopback, otherLink,
		func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.run(k.progs.Container, tcp(client, vipRemote, port, 80, flags).of(f).frame())
		}, func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, port, flags).of(f).ip()))
		}},
	{"with a neighbour", loopback, otherLink,
		func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.run(k.progs.Container, tcp(client, vipLocal, port, 80, flags).of(f).frame())
		}, func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.runFrom(otherLink, k.progs.Container, tcp(server, clientInst, 80, port, flags).of(f).frame())
		}},
	{"from another worker", otherLink, loopback,
		func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, port, 80, flags).of(f).ip()))
		}, func(k *kernel, f pairing, port uint16, flags uint8) (uint32, []byte) {
			return k.runFrom(otherLink, k.progs.Container, tcp(server, farClient, 80, port, flags).of(f).frame())
		}},
}

func (c conversation) establish(k *kernel, f pairing, port uint16) {
	k.t.Helper()
	for _, step := range []struct {
		way   func(*kernel, pairing, uint16, uint8) (uint32, []byte)
		flags uint8
	}{{c.there, flagSYN}, {c.back, flagSYN | flagACK}, {c.there, flagACK}} {
		if verdict, _ := step.way(k, f, port, step.flags); verdict != verdictRedirect {
			k.t.Fatalf("flags %#x of port %d: verdict %#x, drops %v", step.flags, port, verdict, k.drops())
		}
	}
}

// TestShareOfFlows: who has as many established flows as it may is refused new ones at once, whichever side began, and none of those that it
// has; what ends makes room. Others are not concerned.
func TestShareOfFlows(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			eachPairing(t, func(t *testing.T, f pairing) {
				k := newKernelOf(t, f)
				k.limited(3)
				for port := range uint16(3) {
					k.charged("before", c.charged, f.inner, uint32(port))
					c.establish(k, f, 4000+port)
				}
				k.charged("all", c.charged, f.inner, 3)
				told := k.answers()
				if verdict, _ := c.there(k, f, 5000, flagSYN); verdict != verdictRedirect || k.drops()["flow_share"] != 1 || k.answers() != told+1 {
					t.Errorf("one too many: verdict %#x, drops %v, %d answers", verdict, k.drops(), k.answers()-told)
				}
				if n := len(entries(t, k.maps.Flows())); n != 6 {
					t.Errorf("%d entries, want those of three flows", n)
				}
				if verdict, _ := c.there(k, f, 4000, flagACK); verdict != verdictRedirect || len(k.drops()) != 1 {
					t.Errorf("a flow that it has: verdict %#x, drops %v", verdict, k.drops())
				}
				c.back(k, f, 4001, flagRST)
				k.charged("after a reset", c.charged, f.inner, 2)
				c.establish(k, f, 5000)
				c.there(k, f, 4000, flagFIN|flagACK)
				k.charged("half closed", c.charged, f.inner, 3)
				c.back(k, f, 4000, flagFIN|flagACK)
				k.charged("closed", c.charged, f.inner, 2)
				c.there(k, f, 4000, flagACK)
				c.establish(k, f, 4000) // on the ports of one that has ended
				k.charged("opened again", c.charged, f.inner, 3)
				k.charged("the other", c.other, f.inner, 0)
			})
		})
	}
}

// TestRefusalsByShare: what the sender of a packet is told that would open one flow too many, byte by byte.
func TestRefusalsByShare(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.limited(1)
		for _, ifindex := range []uint32{loopback, otherLink} {
			must(t, k.maps.Shares.Put(ifindex, Share{Flows: [2]uint32{1, 1}}))
		}
		in := built(f.inside(farClient), f.inside(server), unix.IPPROTO_TCP, 0, nil, segment(4000, 80, 7, 0, flagSYN, 0, ""), false)
		out := k.redirects("a peer's SYN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, in))
		want := built(f.inside(server), f.inside(farClient), unix.IPPROTO_TCP, 0, nil, segment(80, 4000, 0, 8, flagRST|flagACK, 0, ""), true)
		f.encapsulated(t, out, serverTag, want, 0, f.sourcePort(t, out))
		datagram := built(f.inside(farClient), f.inside(server), unix.IPPROTO_UDP, 0, nil, datagram(4000, 80, "hello"), false)
		out = k.redirects("a peer's datagram", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, datagram))
		f.encapsulated(t, out, serverTag, refusal(f.inside(server), f.inside(farClient), datagram), 0, f.sourcePort(t, out))
		if n := k.drops()["flow_share"]; n != 2 || k.answers() != 2 {
			t.Errorf("drops %v, %d answers; want two of each", k.drops(), k.answers())
		}
	})
	protocols(t, func(t *testing.T, s side, proto uint8) {
		k := newExposing(t)
		k.limited(1)
		must(t, k.maps.Shares.Put(otherLink, Share{Flows: [2]uint32{1, 1}}))
		in := of(proto, s.outside, s.own, 4000, 8080, flagSYN)
		in.payload = ""
		out := k.redirects("a caller outside", k.progs.UplinkIn, in.wire())
		want := built(s.own, s.outside, unix.IPPROTO_TCP, 0, nil, segment(8080, 4000, 0, 1, flagRST|flagACK, 0, ""), true)
		if proto == unix.IPPROTO_UDP {
			want = refusal(s.own, s.outside, in.bytes())
		}
		if string(out[14:]) != string(want) {
			t.Errorf("the caller gets\n% x\nwant\n% x", out[14:], want)
		}
		if n := k.drops()["flow_share"]; n != 1 || k.answers() != 1 {
			t.Errorf("drops %v, %d answers; want one of each", k.drops(), k.answers())
		}
		// Another container of this worker has a share of its own.
		k.redirects("a caller here", k.progs.Container, of(proto, s.client, s.own, 4000, 8080, flagSYN).wire())
	})
}

// refusal is the ICMP error by which a port refuses a datagram.
func refusal(from, to netip.Addr, quoted []byte) []byte {
	body := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quoted...)
	if to.Is4() {
		return built(from, to, unix.IPPROTO_ICMP, 0xc0, nil, body, true)
	}
	body[0], body[1] = 1, 4
	return built(from, to, unix.IPPROTO_ICMPV6, 0, nil, body, true)
}
