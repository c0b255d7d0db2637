// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRouterOutsideComplainsOfAnAnswer: without this, an answer that is too long for a way outside vanishes without a word.
func TestRouterOutsideComplainsOfAnAnswer(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			k := newExposing(t)
			k.answered(s, unix.IPPROTO_TCP, 8080, 4000, 4000)
			complaint := func(from, to netip.Addr, quoted packet) packet {
				p := packet{src: from, dst: to, proto: s.icmp, icmp: 3, payload: string(quoted.bytes()[:min(len(quoted.bytes()), 64)])}
				if s.own.Is6() {
					p.icmp = 2
				}
				return p
			}
			out := k.redirects("complaint", k.progs.UplinkIn, complaint(s.router, s.own, of(unix.IPPROTO_TCP, s.own, s.outside, 8080, 4000, flagACK)).wire())
			want := complaint(s.outside, s.server, of(unix.IPPROTO_TCP, s.server, s.outside, 80, 4000, flagACK)).bytes()
			// The quoted transport's own checksum is nobody's to check.
			quoted := 14 + 2*(20+offset6(s)) + 8 + 16
			for i := 14; i < len(out); i++ {
				if i == quoted || i == quoted+1 || i == 14+22+offset6(s) || i == 14+23+offset6(s) {
					continue
				}
				if out[i] != want[i-14] {
					t.Fatalf("complaint came out as\n% x\nwant\n% x (byte %d)", out[14:], want, i-14)
				}
			}
			if l4 := out[14+20+offset6(s):]; s.own.Is4() && fold(sum(l4, 0)) != 0 {
				t.Errorf("its checksum is wrong")
			} else if s.own.Is6() && fold(sum(l4, sum(out[14+8:14+40], uint32(s.icmp)+uint32(len(l4))))) != 0 {
				t.Errorf("its checksum is wrong")
			}
			verdict, _ := k.run(k.progs.UplinkIn, complaint(s.router, s.own, of(unix.IPPROTO_TCP, s.own, s.outside, 22, 4000, flagACK)).wire())
			if verdict != verdictNext {
				t.Errorf("verdict %#x for a complaint to the host, drops %v", verdict, k.drops())
			}
		})
	}
}

// offset6 is by how much a header of IPv6 is longer.
func offset6(s side) int {
	if s.own.Is6() {
		return 20
	}
	return 0
}

func TestDatagramInPiecesReachesAnExposedPort(t *testing.T) {
	k := newExposing(t)
	whole := of(unix.IPPROTO_UDP, outside, selfOuter, 4000, 8080, 0)
	whole.noChecksum, whole.fragment, whole.payload = true, 0x2000, "12345678"
	out := k.redirects("first piece", k.progs.UplinkIn, whole.wire())
	want := whole
	want.dst, want.dport = server, 80
	equal(t, "first piece", out, want)
	later := packet{src: outside, dst: selfOuter, proto: unix.IPPROTO_UDP, sport: 1, dport: 2, payload: "more", noChecksum: true, fragment: 2}
	out = k.redirects("later piece", k.progs.UplinkIn, later.wire())
	later.dst = server
	equal(t, "later piece", out, later)
}

func TestExposedPortOfAnInstanceThatIsGone(t *testing.T) {
	k := newExposing(t)
	must(t, k.maps.Endpoints.Delete(otherLink))
	verdict, _ := k.run(k.progs.UplinkIn, of(unix.IPPROTO_TCP, outside, selfOuter, 4000, 8080, flagSYN).wire())
	if got := k.drops(); verdict != verdictDrop || got["no_endpoint"] != 1 || len(got) != 1 {
		t.Errorf("verdict %#x, drops %v; want a drop for no_endpoint alone", verdict, got)
	}
}

// TestFloodAtAnExposedPort has a million sources knock at an exposed port: the flow that lives there goes on, and all are accounted for.
func TestFloodAtAnExposedPort(t *testing.T) {
	k := newExposing(t)
	k.answered(sides[0], unix.IPPROTO_TCP, 8080, 4000, 4000)
	knocks := 1_000_000
	if os.Getenv("OAK_EMULATED") != "" || testing.Short() {
		knocks = 40_000 // still more than the rings hold
	}
	knock := of(unix.IPPROTO_TCP, netip.MustParseAddr("100.64.0.0"), selfOuter, 4000, 8080, flagSYN).wire()
	for i := range knocks {
		binary.BigEndian.PutUint32(knock[26:], 100<<24|64<<16+uint32(i))
		if verdict, _ := k.run(k.progs.UplinkIn, knock); verdict != verdictRedirect {
			t.Fatalf("knock %d: verdict %#x, drops %v", i, verdict, k.drops())
		}
	}
	if d := k.drops(); len(d) != 0 {
		t.Errorf("drops %v, want none", d)
	}
	if n := k.established(); n != 2 {
		t.Errorf("%d established entries, want both directions of the one flow", n)
	}
	out := k.redirects("data", k.progs.UplinkIn, of(unix.IPPROTO_TCP, outside, selfOuter, 4000, 8080, flagACK).wire())
	equal(t, "data", out, of(unix.IPPROTO_TCP, outside, server, 4000, 80, flagACK))
	out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(unix.IPPROTO_TCP, server, outside, 80, 4000, flagACK).wire())
	equal(t, "answer", out, of(unix.IPPROTO_TCP, selfOuter, outside, 8080, 4000, flagACK))
	k.answered(sides[0], unix.IPPROTO_TCP, 8080, 4001, 4001)
}
