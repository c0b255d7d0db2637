// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestExposedPortKeepsTheCallersAddress(t *testing.T) {
	protocols(t, func(t *testing.T, s side, proto uint8) {
		k := newExposing(t)
		k.answered(s, proto, 8080, 4000, 4000)
		if n := k.established(); n != 2 {
			t.Errorf("%d established entries, want both directions", n)
		}
		for key, f := range entries(t, k.maps.Flows()) {
			if r, ok, err := k.maps.Flows().Lookup(key.Reverse(f)); err != nil || !ok || r.Flags&FlowReply == f.Flags&FlowReply {
				t.Errorf("%+v has no other direction: %v", key, err)
			}
			if f.Flags&FlowOut != 0 && f.To != uplink {
				t.Errorf("answers leave by interface %d", f.To)
			}
		}
	})
}

// TestOneCallerAtTwoPortsOfOneInstance: the server could not tell the two flows apart, so one of them gets another port.
func TestOneCallerAtTwoPortsOfOneInstance(t *testing.T) {
	protocols(t, func(t *testing.T, s side, proto uint8) {
		k := newExposing(t)
		k.answered(s, proto, 8080, 4000, 4000)
		out := k.redirects("open", k.progs.UplinkIn, of(proto, s.outside, s.own, 4000, 8081, flagSYN).wire())
		at := 34
		if s.outside.Is6() {
			at = 54
		}
		moved := binary.BigEndian.Uint16(out[at:])
		if moved == 4000 {
			t.Fatal("both flows have the same answers")
		}
		equal(t, "open", out, of(proto, s.outside, s.server, moved, 80, flagSYN))
		out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(proto, s.server, s.outside, 80, moved, flagSYN|flagACK).wire())
		equal(t, "answer", out, of(proto, s.own, s.outside, 8081, 4000, flagSYN|flagACK))
		out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(proto, s.server, s.outside, 80, 4000, flagACK).wire())
		equal(t, "answer", out, of(proto, s.own, s.outside, 8080, 4000, flagACK))
	})
}

func TestWhatIsTheHostsIsLeftAlone(t *testing.T) {
	for _, s := range sides {
		elsewhere := netip.MustParseAddr("192.0.2.99")
		if s.own.Is6() {
			elsewhere = netip.MustParseAddr("2001:db8::99")
		}
		fragment := of(unix.IPPROTO_UDP, s.outside, s.own, 1, 53, 0)
		later := fragment.wire()
		if s.own.Is4() {
			fragment.fragment = 0x2000
			later[20], later[21] = 0, 2
		}
		for name, frame := range map[string][]byte{
			"another port":                  of(unix.IPPROTO_TCP, s.outside, s.own, 4000, 22, flagSYN).wire(),
			"transit through the host":      of(unix.IPPROTO_TCP, s.outside, elsewhere, 4000, 8080, flagSYN).wire(),
			"an answer to the host":         of(unix.IPPROTO_TCP, s.outside, s.own, 443, 8080, flagSYN|flagACK).wire(),
			"data to the host":              of(unix.IPPROTO_TCP, s.outside, s.own, 443, 8080, flagACK).wire(),
			"a reset to the host":           of(unix.IPPROTO_TCP, s.outside, s.own, 443, 8080, flagRST).wire(),
			"an echo":                       {0: 0, 100: 0},
			"a piece of another's datagram": fragment.wire(),
			"a later piece":                 later,
		} {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				k := newExposing(t)
				if name == "an echo" {
					echo := packet{src: s.outside, dst: s.own, proto: s.icmp, icmp: 8, sport: 8080}
					if s.own.Is6() {
						echo.icmp = 128
					}
					frame = echo.wire()
				}
				verdict, out := k.run(k.progs.UplinkIn, frame)
				if verdict != verdictNext || string(out) != string(frame) {
					t.Errorf("verdict %#x, drops %v; want it untouched to the stack", verdict, k.drops())
				}
				if n := len(entries(t, k.maps.Flows())); n != 0 {
					t.Errorf("%d flows were opened", n)
				}
			})
		}
	}
	k := newExposing(t)
	must(t, k.maps.Exposed.Delete(Port{Port: 8080, Proto: unix.IPPROTO_UDP}))
	if verdict, _ := k.run(k.progs.UplinkIn, of(unix.IPPROTO_UDP, outside, selfOuter, 1, 8080, 0).wire()); verdict != verdictNext {
		t.Errorf("verdict %#x for a datagram to a port of TCP", verdict)
	}
}

// TestConnectionsOfTheHostGoOn: a connected socket of the host has a port that is exposed now. Its peer's datagrams are its own, those of
// others are the instance's, as they are where a process merely listens.
func TestConnectionsOfTheHostGoOn(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	for _, s := range sides {
		for _, a := range []netip.Addr{s.own, s.outside} { // outside too, so that there is a way to it
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}, Flags: unix.IFA_F_NODAD}
			must(t, netlink.AddrReplace(lo, addr))
			t.Cleanup(func() { _ = netlink.AddrDel(lo, addr) })
		}
		own := netip.AddrPortFrom(s.own, 8080)
		t.Run(s.name, func(t *testing.T) {
			k := newExposing(t)
			conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(own), net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.outside, 53)))
			must(t, err)
			defer conn.Close()
			if verdict, _ := k.run(k.progs.UplinkIn, of(unix.IPPROTO_UDP, s.outside, s.own, 53, 8080, 0).wire()); verdict != verdictNext {
				t.Errorf("verdict %#x for an answer to the host, drops %v", verdict, k.drops())
			}
			k.answered(s, unix.IPPROTO_UDP, 8080, 54, 54)

			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(own))
			must(t, err)
			defer l.Close()
			k.answered(s, unix.IPPROTO_TCP, 8080, 4000, 4000)
			server, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.outside, 443)))
			must(t, err)
			defer server.Close()
			_ = l.Close()
			out, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(own)}).Dial("tcp", server.Addr().String())
			must(t, err)
			defer out.Close()
			for _, flags := range []uint8{flagACK, flagSYN | flagACK, flagSYN, flagRST} {
				if verdict, _ := k.run(k.progs.UplinkIn, of(unix.IPPROTO_TCP, s.outside, s.own, 443, 8080, flags).wire()); verdict != verdictNext {
					t.Errorf("verdict %#x for flags %#x of a connection of the host, drops %v", verdict, flags, k.drops())
				}
			}
		})
	}
}

func TestContainersReachExposedPortsOfTheirWorker(t *testing.T) {
	protocols(t, func(t *testing.T, s side, proto uint8) {
		k := newExposing(t)
		for _, flags := range []uint8{flagSYN, flagSYN} { // the second is a new flow on the ports of one that has ended
			out := k.redirects("open", k.progs.Container, of(proto, s.client, s.own, 4000, 8080, flags).wire())
			equal(t, "open", out, of(proto, s.clientInst, s.server, 4000, 80, flags))
			out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(proto, s.server, s.clientInst, 80, 4000, flagSYN|flagACK).wire())
			equal(t, "answer", out, of(proto, s.own, s.client, 8080, 4000, flagSYN|flagACK))
			k.redirects("ACK", k.progs.Container, of(proto, s.client, s.own, 4000, 8080, flagACK).wire())
			k.redirectsFrom(otherLink, "end", k.progs.Container, of(proto, s.server, s.clientInst, 80, 4000, flagRST).wire())
		}
		// Itself: the answer has to come from where it was asked.
		out := k.redirectsFrom(otherLink, "open", k.progs.Container, of(proto, s.server, s.own, 4000, 8080, flagSYN).wire())
		equal(t, "open", out, of(proto, s.own, s.server, 4000, 80, flagSYN))
		out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(proto, s.server, s.own, 80, 4000, flagSYN|flagACK).wire())
		equal(t, "answer", out, of(proto, s.own, s.server, 8080, 4000, flagSYN|flagACK))
		// What else it sends to its worker is its worker's.
		if verdict, _ := k.run(k.progs.Container, of(proto, s.client, s.own, 4000, 22, flagSYN).wire()); verdict != verdictNext {
			t.Errorf("verdict %#x for another port, drops %v", verdict, k.drops())
		}
	})
}

func TestExposedFlowIsOpenedAgain(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			k := newExposing(t)
			k.answered(s, unix.IPPROTO_TCP, 8080, 4000, 4000)
			k.redirectsFrom(otherLink, "reset", k.progs.Container, of(unix.IPPROTO_TCP, s.server, s.outside, 80, 4000, flagRST|flagACK).wire())
			k.answered(s, unix.IPPROTO_TCP, 8080, 4000, 4000)
			if n := k.established(); n != 2 {
				t.Errorf("%d established entries, want both directions", n)
			}
		})
	}
}
