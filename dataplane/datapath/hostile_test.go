// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// udp returns a packet of the addresses' family with a UDP datagram. IPv4 goes without a checksum; IPv6 may not.
func udp(src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	header := 20
	if src.Is6() {
		header = 40
	}
	total := header + 8 + len(payload)
	p := make([]byte, header+8, total)
	u := p[header:]
	binary.BigEndian.PutUint16(u[0:], sport)
	binary.BigEndian.PutUint16(u[2:], dport)
	binary.BigEndian.PutUint16(u[4:], uint16(8+len(payload)))
	if src.Is4() {
		p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(p[2:], uint16(total))
		copy(p[12:], src.AsSlice())
		copy(p[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
		return append(p, payload...)
	}
	p[0], p[6], p[7] = 0x60, unix.IPPROTO_UDP, 64
	binary.BigEndian.PutUint16(p[4:], uint16(8+len(payload)))
	copy(p[8:], src.AsSlice())
	copy(p[24:], dst.AsSlice())
	p = append(p, payload...)
	pseudo := append(append([]byte{}, p[8:40]...), 0, 0, p[4], p[5], 0, 0, 0, unix.IPPROTO_UDP)
	pseudo = append(pseudo, p[40:]...)
	sum := checksum(pseudo)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p[header+6:], sum)
	return p
}

// etherType is that of the packet's family.
func etherType(packet []byte) uint16 {
	if packet[0]>>4 == 6 {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

// gpe puts a tunnel header in front of an inner packet.
func gpe(vni uint32, next byte, inner []byte) []byte {
	h := []byte{0x0c, 0, 0, next, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}
	return append(h, inner...)
}

// inject sends a packet out of the namespace's eth0 as it is, whatever its addresses say.
func inject(t *testing.T, wk *worker, to netip.Addr, packet []byte) {
	t.Helper()
	netnstest.Within(t, wk.ns, func() error { return sendRaw("eth0", to, packet) })
}

func sendRaw(device string, to netip.Addr, packet []byte) error {
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.As16()})
	if to.Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Addr: to.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device); err != nil {
		return err
	}
	return unix.Sendto(fd, packet, 0, at)
}

// sniff counts the packets of the carried family that reach the box.
func (b *box) sniff(t *testing.T) func() int {
	t.Helper()
	var fd int
	netnstest.Within(t, b.ns, func() error {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(htons(b.w.w.inner.ethernet)))
		return err
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func() int {
		buf := make([]byte, 2048)
		n := 0
		for {
			if _, _, err := unix.Recvfrom(fd, buf, 0); err != nil {
				return n
			}
			n++
		}
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// eventually waits for a counter to reach what is wanted.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about within 2 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestNothingForgedIsDelivered sends what a stranger, a lying peer or a lying container could send. Each packet is dropped and
// counted under its own reason, and none reaches the container or the worker's host.
func TestNothingForgedIsDelivered(t *testing.T) { eachPairing(t, nothingForged) }

func nothingForged(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	server, caller := b.box(), a.box()
	b.admit(caller)
	seen := server.sniff(t)
	lan := nth(w.inner.cable[0], 0, 200)
	stranger := nth(w.outer.cable[0], 0, 77)
	payload := []byte("x")
	inner := func(src, dst netip.Addr) []byte { return udp(src, dst, 4000, 5000, payload) }
	outer := func(src netip.Addr, body []byte) []byte { return udp(src, b.outer, 50000, tunnelPort, body) }
	right := inner(caller.inst, server.nsIP)

	for _, c := range []struct {
		name, reason string
		packet       []byte
	}{
		{"a stranger with everything else right", "unknown_peer", outer(stranger, gpe(server.tag, w.inner.next, right))},
		{"a forged peer address with a wrong tag", "bad_tag", outer(a.outer, gpe(server.tag+1, w.inner.next, right))},
		{"a real peer with the source of nobody it has", "bad_source",
			outer(a.outer, gpe(server.tag, w.inner.next, inner(nth(w.inner.cable[0], 0, 9), server.nsIP)))},
		{"to the worker's own host", "no_endpoint", outer(a.outer, gpe(server.tag, w.inner.next, inner(caller.inst, w.inner.cable[1].Addr())))},
		{"to the LAN", "no_endpoint", outer(a.outer, gpe(server.tag, w.inner.next, inner(caller.inst, lan)))},
		{"to a namespace address that is not here", "stale_route",
			outer(a.outer, gpe(server.tag, w.inner.next, inner(caller.inst, nth(b.subnet, 0, 33))))},
		{"a header with reserved bits", "bad_header", outer(a.outer, append([]byte{0x0d, 0, 0, w.inner.next, 0, 0, 1, 0}, right...))},
		{"an unknown next protocol", "bad_header", outer(a.outer, gpe(server.tag, 7, right))},
		{"no header at all", "bad_header", outer(a.outer, []byte{1})},
		{"an empty datagram", "bad_header", outer(a.outer, nil)},
		{"an inner packet cut short", "malformed", outer(a.outer, gpe(server.tag, w.inner.next, right[:len(right)-4]))},
		{"less than an inner header", "decap_failed", outer(a.outer, gpe(server.tag, w.inner.next, right[:10]))},
		{"an inner version that is none", "malformed", outer(a.outer, gpe(server.tag, w.inner.next, append([]byte{0x25}, right[1:]...)))},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := b.drops()[c.reason]
			inject(t, a, b.outer, c.packet)
			eventually(t, "the drop "+c.reason, func() bool { return b.drops()[c.reason] == before+1 })
			if n := seen(); n != 0 {
				t.Errorf("%d packets reached the container", n)
			}
		})
	}

	t.Run("overlay addresses without the tunnel", func(t *testing.T) {
		a.sendFrame(t, right)
		eventually(t, "the drop on the way out", func() bool { return a.drops()["overlay_on_uplink"] == 1 })
		netnstest.Within(t, a.ns, func() error { return a.dp.Detach(a.uplink) })
		// The kernel takes a program off its hook a moment after the link's last reference is gone.
		eventually(t, "the drop on the way in", func() bool {
			a.sendFrame(t, right)
			return b.drops()["overlay_on_uplink"] > 0
		})
		if n := seen(); n != 0 {
			t.Errorf("%d packets reached the container", n)
		}
	})
	t.Run("a source that lives at another peer", func(t *testing.T) {
		elsewhere := nth(w.inner.services, 9, 9)
		w.workers[1].must(b.dp.Maps().Sources.Put(bpf.AddrFrom(elsewhere), bpf.Source{Peer: 2, Generation: 1}))
		before := b.drops()["bad_source"]
		inject(t, a, b.outer, outer(a.outer, gpe(server.tag, w.inner.next, inner(elsewhere, server.nsIP))))
		eventually(t, "the drop bad_source", func() bool { return b.drops()["bad_source"] == before+1 })
	})
	t.Run("the right packet is delivered", func(t *testing.T) {
		inject(t, a, b.outer, outer(a.outer, gpe(server.tag, w.inner.next, right)))
		eventually(t, "delivery", func() bool { return seen() == 1 })
	})
	t.Run("a wrong tag within a known flow", func(t *testing.T) {
		before := b.drops()["bad_tag"]
		inject(t, a, b.outer, outer(a.outer, gpe(server.tag+1, w.inner.next, right)))
		eventually(t, "the drop bad_tag", func() bool { return b.drops()["bad_tag"] == before+1 })
		if n := seen(); n != 0 {
			t.Errorf("%d packets reached the container", n)
		}
	})
}

func TestContainerCannotLie(t *testing.T) { eachFamily(t, containerCannotLie) }

func containerCannotLie(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, far := a.box(), b.box()
	a.serve(1, vip, far)
	b.admit(client)
	seen := far.sniff(t)
	for _, c := range []struct {
		name, reason string
		packet       []byte
	}{
		{"another's namespace address", "spoofed_source", udp(nth(a.subnet, 0, 40), vip, 1, 2, nil)},
		{"its own Instance IP", "spoofed_source", udp(client.inst, vip, 1, 2, nil)},
		{"straight to a namespace address", "namespace_ip", udp(client.nsIP, far.nsIP, 1, 2, nil)},
		{"to everybody", "broadcast", udp(client.nsIP, w.inner.everybody, 68, 67, nil)},
		{"to a group", "broadcast", udp(client.nsIP, w.inner.group, 1, 2, nil)},
		{"to a service that NetManager, away, could look up", "no_manager", udp(client.nsIP, w.inner.unassigned(), 1, 2, nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := a.drops()[c.reason]
			netnstest.Within(t, client.ns, func() error { return sendFrame("eth0", client, c.packet) })
			eventually(t, "the drop "+c.reason, func() bool { return a.drops()[c.reason] == before+1 })
			if n := seen(); n != 0 {
				t.Errorf("%d packets reached the other container", n)
			}
		})
	}
}

// sendFrame sends a packet to the other worker's uplink as a frame, whether the underlay is of its family or not.
func (wk *worker) sendFrame(t *testing.T, packet []byte) {
	t.Helper()
	to := &unix.SockaddrLinklayer{Protocol: htons(etherType(packet)), Ifindex: wk.uplink, Halen: 6}
	other := wk.w.workers[1-wk.end]
	netnstest.Within(t, other.ns, func() error {
		l, err := netlink.LinkByIndex(other.uplink)
		if err == nil {
			copy(to.Addr[:], l.Attrs().HardwareAddr)
		}
		return err
	})
	netnstest.Within(t, wk.ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(to.Protocol))
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, packet, 0, to); !errors.Is(err, unix.ENOBUFS) { // so the kernel calls that a program has dropped it
			return err
		}
		return nil
	})
}

// sendFrame sends a packet as a frame, so that the sender's own stack has no say.
func sendFrame(device string, b *box, packet []byte) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	proto := htons(etherType(packet))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	neighbours, err := netlink.NeighList(l.Attrs().Index, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Attrs().Index, Halen: 6}
	for _, n := range neighbours {
		if n.IP.Equal(net.IP(b.w.subnet.Addr().Next().AsSlice())) {
			copy(to.Addr[:], n.HardwareAddr)
		}
	}
	return unix.Sendto(fd, packet, 0, to)
}
