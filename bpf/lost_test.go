// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lost is a packet of a peer that belongs to no flow here, and the segment in which its sender hears so; none if it hears nothing.
type lost struct {
	name, reason string
	src, dst     netip.Addr
	tag          uint32
	in, answer   []byte
}

// segments are what comes of a connection whose flow is gone, and what a closed port would answer.
var lostSegments = []struct {
	name       string
	in, answer []byte
}{
	{"data", segment(4000, 80, 7, 0x12345678, flagACK, 12, strings.Repeat("x", 1001)), segment(80, 4000, 0x12345678, 0, flagRST, 0, "")},
	{"end", segment(4000, 80, 7, 9, flagFIN|flagACK, 0, ""), segment(80, 4000, 9, 0, flagRST, 0, "")},
	{"answered opener", segment(4000, 80, 7, 9, flagSYN|flagACK, 20, ""), segment(80, 4000, 9, 0, flagRST, 0, "")},
	{"end without acknowledgement", segment(4000, 80, 0xffffffff, 9, flagFIN, 0, "odd"), segment(80, 4000, 0, 3, flagRST|flagACK, 0, "")},
	{"opener", segment(4000, 80, 7, 0, flagSYN, 0, ""), nil},
	{"reset", segment(4000, 80, 7, 9, flagRST, 0, ""), nil},
	{"reset with an acknowledgement", segment(4000, 80, 7, 9, flagRST|flagACK, 0, ""), nil},
}

// lostAt are the ways in which a peer's packet belongs to nothing here: its callee, its caller, or the whole instance has been forgotten.
var lostAt = []lost{
	{name: "callee's flow", reason: "no_flow", src: farClient, dst: server, tag: serverTag},
	{name: "caller's flow", reason: "no_endpoint", src: farServer, dst: clientInst, tag: farTag},
	{name: "callee", reason: "stale_route", src: farClient, dst: farServer, tag: 0x777777},
	{name: "callee whose address another has", reason: "bad_tag", src: farClient, dst: server, tag: 0x777777},
}

// TestLostFlowsOfPeersAreReset: a worker that has forgotten a connection, or was started anew, says so to the end that goes on with it.
func TestLostFlowsOfPeersAreReset(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		for _, at := range lostAt {
			for _, s := range lostSegments {
				t.Run(at.name+"/"+s.name, func(t *testing.T) {
					k.t = t
					reason := at.reason
					opener := s.name == "opener"
					if opener && at.reason == "no_flow" {
						return // it opens one
					}
					src, dst := f.inside(at.src), f.inside(at.dst)
					k.lost(f, lost{s.name, reason, src, dst, at.tag, s.in, s.answer})
				})
			}
		}
	})
}

// lost holds what the uplink's program makes of a peer's packet against the answer that is due.
func (k *kernel) lost(f pairing, l lost) {
	k.t.Helper()
	before, told := k.drops()[l.reason], k.answers()
	verdict, out := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), l.tag, built(l.src, l.dst, unix.IPPROTO_TCP, 0x28, nil, l.in, false)))
	if got := k.drops()[l.reason]; got != before+1 {
		k.t.Errorf("drops %v, want one more %s", k.drops(), l.reason)
	}
	if l.answer == nil {
		if verdict != verdictDrop || k.answers() != told {
			k.t.Errorf("verdict %#x, %d answers; want silence", verdict, k.answers()-told)
		}
		return
	}
	if verdict != verdictRedirect || k.answers() != told+1 {
		k.t.Fatalf("verdict %#x, %d answers; want one, redirected (drops %v)", verdict, k.answers()-told, k.drops())
	}
	f.encapsulated(k.t, out, l.tag, built(l.dst, l.src, unix.IPPROTO_TCP, 0, nil, l.answer, true), 0, f.sourcePort(k.t, out))
}

// TestResetsOfLostFlowsArrive: the reset that one worker makes is a packet of the flow as the other knows it, in both directions.
func TestResetsOfLostFlowsArrive(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		rst := built(f.inside(farServer), f.inside(clientInst), unix.IPPROTO_TCP, 0, nil, segment(80, 4000, 9, 0, flagRST, 0, ""), true)
		out := k.redirects("reset for the caller", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, rst))
		want := built(f.inside(vipRemote), f.inside(client), unix.IPPROTO_TCP, 0, nil, segment(80, 4000, 9, 0, flagRST, 0, ""), true)
		if string(out[14:]) != string(want) {
			t.Errorf("the caller gets\n% x\nwant\n% x", out[14:], want)
		}
		k.redirects("SYN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 4000, 80, flagSYN).of(f).ip()))
		rst = built(f.inside(farClient), f.inside(server), unix.IPPROTO_TCP, 0, nil, segment(4000, 80, 9, 0, flagRST, 0, ""), true)
		if out = k.redirects("reset for the callee", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, rst)); string(out[14:]) != string(rst) {
			t.Errorf("the callee gets\n% x\nwant\n% x", out[14:], rst)
		}
	})
}

// TestResetsOfLostFlowsAreBounded: a peer that has had its share of answers gets none, while another gets its own.
func TestResetsOfLostFlowsAreBounded(t *testing.T) {
	k := newKernel(t)
	must(t, k.maps.Peers.Put(3, Peer{Outer: AddrFrom(outside), Local: AddrFrom(selfOuter), Ifindex: loopback, Port: port, State: PeerUp}))
	must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(outside)}, 3))
	in := func(from netip.Addr) []byte {
		return tunnelled(from, serverTag, tcp(farClient, server, 4000, 80, flagACK).ip())
	}
	const bucket = 0xa0000000
	k.redirects("the first", k.progs.UplinkIn, in(peerOuter))
	left, ok, err := k.maps.MissRate.Lookup(bucket | 1)
	must(t, err)
	if !ok || left>>32 != 20000-1 {
		t.Errorf("the peer has %d answers left of 20000 a second after one", left>>32)
	}
	// It gets another within the next millisecond.
	silent := false
	for try := 0; try < 100 && !silent; try++ {
		must(t, k.maps.MissRate.Put(bucket|1, uint64(uint32(monotonic().Milliseconds()))))
		verdict, _ := k.run(k.progs.UplinkIn, in(peerOuter))
		silent = verdict == verdictDrop
	}
	if !silent {
		t.Error("a peer whose share is used up is answered")
	}
	k.redirects("another peer's", k.progs.UplinkIn, in(outside))
	if n, told := k.drops()["no_flow"], k.answers(); n <= told {
		t.Errorf("%d dropped, %d answered; want all counted as dropped", n, told)
	}
}
