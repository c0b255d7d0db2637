// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// pair is a queue on one end of a real veth pair; the test plays the programs at the other.
type pair struct {
	*Queue
	t       *testing.T
	maps    *bpf.Maps
	program *os.File

	mu     sync.Mutex
	wanted []string
	onWant func(netip.Addr)
}

func newPair(t *testing.T, prepare ...func(*bpf.Maps)) *pair {
	t.Helper()
	maps, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = maps.Close() })
	for _, f := range prepare {
		f(maps)
	}
	p := &pair{t: t, maps: maps}
	netnstest.Within(t, netnstest.NewIPv4(t), func() error { // the sockets keep it
		p.open()
		return nil
	})

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return p
}

// open makes the veth pair and opens both its ends.
func (p *pair) open() {
	p.t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = "oak-up0"
	require.NoError(p.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "oak-up1"}))
	index := map[string]int{}
	for _, name := range []string{"oak-up0", "oak-up1"} {
		link, err := netlink.LinkByName(name)
		require.NoError(p.t, err)
		require.NoError(p.t, netlink.LinkSetUp(link))
		index[name] = link.Attrs().Index
	}
	for name := range index { // until then the kernel drops what is sent
		for tries := 0; ; tries++ {
			link, err := netlink.LinkByName(name)
			require.NoError(p.t, err)
			if link.Attrs().OperState == netlink.OperUp {
				break
			}
			require.Less(p.t, tries, 1000)
			time.Sleep(time.Millisecond)
		}
	}
	var err error
	p.program, err = openSocket(index["oak-up0"])
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = p.program.Close() })
	p.Queue, err = New(Config{
		Ifindex: index["oak-up1"], Maps: p.maps,
		Want:       func(a netip.Addr) { p.asked(a.String(), a) },
		WantSource: func(a netip.Addr) { p.asked("source "+a.String(), a) },
	})
	require.NoError(p.t, err)
}

func (p *pair) asked(what string, a netip.Addr) {
	p.mu.Lock()
	p.wanted = append(p.wanted, what)
	f := p.onWant
	p.mu.Unlock()
	if f != nil {
		f(a)
	}
}

func (p *pair) questions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.wanted...)
}

// know enters a service address, as the table of routes does before it answers.
func (p *pair) know(addr string, policy uint32) {
	p.t.Helper()
	require.NoError(p.t, p.maps.VIPs.Put(bpf.AddrFrom(netip.MustParseAddr(addr)), bpf.VIP{Policy: policy}))
}

func (p *pair) up(frames ...[]byte) {
	p.t.Helper()
	for _, f := range frames {
		_, err := p.program.Write(f)
		require.NoError(p.t, err)
	}
}

// down returns the next frame that comes back, nil if none does.
func (p *pair) down(wait time.Duration) []byte {
	p.t.Helper()
	require.NoError(p.t, p.program.SetReadDeadline(time.Now().Add(wait)))
	b := make([]byte, maxPacket)
	n, err := p.program.Read(b)
	if err != nil {
		require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
		return nil
	}
	return b[:n]
}

func (p *pair) downAll(n int) (out [][]byte) {
	p.t.Helper()
	for i := range n {
		f := p.down(2 * time.Second)
		require.NotNil(p.t, f, fmt.Sprintf("%d of %d frames came back", i, n))
		out = append(out, f)
	}
	return out
}

func (p *pair) waitHeld(n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.Stats().Held == n }, 2*time.Second, time.Millisecond)
}

// frameOf is a frame as the programs redirect it.
func frameOf(peer, tag uint32, packet []byte) []byte {
	b := make([]byte, vnetLen+ethLen, vnetLen+ethLen+len(packet))
	eth := b[vnetLen:]
	eth[0], eth[1] = 0x02, 0x6f
	binary.BigEndian.PutUint32(eth[2:], peer)
	eth[6], eth[7], eth[8] = 0x02, 0x6f, 0x61
	eth[9], eth[10], eth[11] = byte(tag>>16), byte(tag>>8), byte(tag)
	binary.BigEndian.PutUint16(eth[12:], unix.ETH_P_IP)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		binary.BigEndian.PutUint16(eth[12:], unix.ETH_P_IPV6)
	}
	return append(b, packet...)
}

func udp(src, dst string, payload string) []byte {
	b := make([]byte, 8, 8+len(payload))
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], 53)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return ip(unix.IPPROTO_UDP, netip.MustParseAddr(src), netip.MustParseAddr(dst), b)
}

func tcp(src, dst string, flags byte, payload int) []byte {
	b := make([]byte, 20+payload)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], 80)
	binary.BigEndian.PutUint32(b[4:], 1000)
	binary.BigEndian.PutUint32(b[8:], 2000)
	b[12], b[13] = 5<<4, flags
	for i := range b[20:] {
		b[20+i] = byte(i)
	}
	return ip(unix.IPPROTO_TCP, netip.MustParseAddr(src), netip.MustParseAddr(dst), b)
}

// ip puts a header before the body of a packet; nobody here looks at checksums.
func ip(proto byte, src, dst netip.Addr, body []byte) []byte {
	if src.Is6() {
		b := make([]byte, 40, 40+len(body))
		b[0], b[6], b[7] = 6<<4, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
		return append(b, body...)
	}
	b := make([]byte, 20, 20+len(body))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(body)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	return append(b, body...)
}

const (
	tcpSYN = 2
	tcpACK = 16
)

const (
	client  = "10.18.0.2"
	service = "10.30.1.1"

	client6  = "fc00::2"
	service6 = "fdff:2000::1"
)

// payload is what was sent in a datagram that comes back.
func payload(frame []byte) string {
	return string(bytes.TrimRight(frame[vnetLen+ethLen+28:], "\x00"))
}
