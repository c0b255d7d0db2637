// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// sendTagged sends a packet out of eth0 in a frame of VLAN 5, to the hardware address that the neighbour table has for next.
func sendTagged(next netip.Addr, packet []byte) error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	neighbours, err := netlink.NeighList(l.Attrs().Index, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	frame := make([]byte, 0, 18+len(packet))
	for _, n := range neighbours {
		if addr, ok := netip.AddrFromSlice(n.IP); ok && addr.Unmap() == next {
			frame = append(frame, n.HardwareAddr...)
		}
	}
	frame = append(frame, l.Attrs().HardwareAddr...)
	frame = append(frame, 0x81, 0, 0, 5)
	frame = binary.BigEndian.AppendUint16(frame, etherType(packet))
	return unix.Sendto(fd, append(frame, packet...), 0, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Attrs().Index})
}

// TestVLANsStayOut sends what is right save that it is of a VLAN: a container cannot reach into one of the underlay's, and one of the
// underlay's cannot reach into the overlay.
func TestVLANsStayOut(t *testing.T) { eachPairing(t, vlansStayOut) }

func vlansStayOut(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, far := a.box(), b.box()
	a.serve(1, vip, far)
	b.admit(client)
	gateway := a.subnet.Addr().Next()
	netnstest.Within(t, client.ns, func() error {
		return sendTagged(gateway, udp(client.nsIP, vip, 1, 2, nil))
	})
	eventually(t, "the drop not_ip", func() bool { return a.drops()["not_ip"] == 1 })
	netnstest.Within(t, client.ns, func() error { return sendTagged(gateway, udp(client.nsIP, w.inner.cable[1].Addr(), 1, 2, nil)) })
	eventually(t, "the drop not_ip", func() bool { return a.drops()["not_ip"] == 2 })

	seen := far.sniff(t)
	inner := udp(client.inst, far.nsIP, 1, 2, nil)
	inject(t, a, b.outer, udp(a.outer, b.outer, 50000, tunnelPort, gpe(far.tag, w.inner.next, inner))) // has the neighbours learn each other
	eventually(t, "delivery", func() bool { return seen() == 1 })
	netnstest.Within(t, a.ns, func() error {
		return sendTagged(b.outer, udp(a.outer, b.outer, 50000, tunnelPort, gpe(far.tag, w.inner.next, inner)))
	})
	eventually(t, "the drop bad_header", func() bool { return b.drops()["bad_header"] == 1 })
	if n := seen(); n != 0 {
		t.Errorf("%d packets of a VLAN reached the container", n)
	}
}
