// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What tc programs return.
const (
	verdictNext     = 0xffffffff // TC_ACT_UNSPEC: the next program, then the stack
	verdictDrop     = 2          // TC_ACT_SHOT
	verdictRedirect = 7          // TC_ACT_REDIRECT
)

const (
	loopback = 1 // test runs arrive on the loopback interface
	port     = 50103
)

// A small world: this worker has a client and a server, the peer has a server and a client.
var (
	gateway     = netip.MustParseAddr("10.18.0.1")
	client      = netip.MustParseAddr("10.18.0.2")
	clientInst  = netip.MustParseAddr("10.30.1.2")
	server      = netip.MustParseAddr("10.18.0.3")
	serverInst  = netip.MustParseAddr("10.30.1.3")
	farServer   = netip.MustParseAddr("10.18.0.66")
	farInst     = netip.MustParseAddr("10.30.1.66")
	farClient   = netip.MustParseAddr("10.30.1.67") // its Instance IP
	vipLocal    = netip.MustParseAddr("10.30.0.1")
	vipRemote   = netip.MustParseAddr("10.30.0.2")
	vipRefused  = netip.MustParseAddr("10.30.0.3")
	vipEmpty    = netip.MustParseAddr("10.30.0.4")
	vipUnmet    = netip.MustParseAddr("10.30.0.5")
	vipUnknown  = netip.MustParseAddr("10.30.0.9")
	outside     = netip.MustParseAddr("198.51.100.7")
	selfOuter   = netip.MustParseAddr("192.0.2.1")
	peerOuter   = netip.MustParseAddr("192.0.2.2")
	serverTag   = uint32(0xabcdef)
	farTag      = uint32(0x123456)
	upcallIndex = uint32(loopback)
)

type kernel struct {
	t     testing.TB
	progs *Programs
	maps  *Maps
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v", err)
	}
}

func newKernel(t testing.TB) *kernel {
	t.Helper()
	p, m, err := Load("")
	must(t, err)
	t.Cleanup(func() { p.Close(); _ = m.Close() })
	k := &kernel{t: t, progs: p, maps: m}
	must(t, m.Config.Put(0, Config{
		Services4: PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Workers4: PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")),
		Gateway4: AddrFrom(gateway), UpcallIfindex: upcallIndex, TunnelPort: port, Mtu: 1444,
	}))
	k.endpoint(loopback, client, clientInst, 0x1)
	k.endpoint(otherLink, server, serverInst, serverTag)
	must(t, m.Peers.Put(1, Peer{Outer: AddrFrom(peerOuter), Local: AddrFrom(selfOuter), Ifindex: loopback, Port: port, State: PeerUp}))
	must(t, m.Peers.Put(2, Peer{State: PeerGreeting}))
	must(t, m.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(peerOuter)}, 1))
	must(t, m.Sources.Put(AddrFrom(farClient), Source{Peer: 1, Generation: 1}))
	k.backend(1, server, serverInst, Backend{Ifindex: otherLink, Tag: serverTag, Service: 1})
	k.backend(2, farServer, farInst, Backend{Peer: 1, Tag: farTag, Service: 2})
	k.backend(3, farServer, farInst, Backend{Peer: 2, Tag: farTag, Service: 5})
	k.service(1, vipLocal, 1)
	k.service(2, vipRemote, 2)
	k.service(4, vipEmpty)
	k.service(5, vipUnmet, 3)
	must(t, m.VIPs.Put(AddrFrom(vipRefused), VIP{Policy: PolicyNone}))
	must(t, m.VIPs.Put(AddrFrom(farInst), VIP{Policy: PolicyInstance, Service: 2, Backend: 2}))
	return k
}

func (k *kernel) endpoint(ifindex uint32, ns, inst netip.Addr, tag uint32) {
	ep := Endpoint{Ifindex: ifindex, Tag: tag, Generation: 1}
	ep.Ns[V4], ep.Inst[V4] = AddrFrom(ns), AddrFrom(inst)
	must(k.t, k.maps.Endpoints.Put(ifindex, ep))
	must(k.t, k.maps.Local.Put(AddrFrom(ns), ifindex))
}

func (k *kernel) backend(index uint32, ns, inst netip.Addr, b Backend) {
	b.Generation = 1
	b.SetAddrs([2]netip.Addr{ns}, [2]netip.Addr{inst})
	must(k.t, k.maps.Backends.Put(index, b))
}

func (k *kernel) service(index uint32, vip netip.Addr, backends ...uint32) {
	s := Service{Count: uint32(len(backends))}
	copy(s.Backends[:], backends)
	must(k.t, k.maps.Services.Put(index, s))
	must(k.t, k.maps.VIPs.Put(AddrFrom(vip), VIP{Policy: PolicyRoundRobin, Service: index}))
}

// beat makes NetManager seem alive.
func (k *kernel) beat() {
	var ts unix.Timespec
	must(k.t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	must(k.t, k.maps.Heartbeat.Put(0, uint64(ts.Nano())))
}

// run gives a packet to a program and returns its verdict and what became of the packet.
func (k *kernel) run(prog *ebpf.Program, frame []byte) (uint32, []byte) {
	k.t.Helper()
	return k.runFrom(loopback, prog, frame)
}

// drops returns the drop counters that are not 0.
func (k *kernel) drops() map[string]uint64 {
	names, err := DropReasons()
	must(k.t, err)
	got := map[string]uint64{}
	for n, name := range names {
		perCPU, _, err := k.maps.Drops.Lookup(n)
		must(k.t, err)
		for _, c := range perCPU {
			if c.Packets > 0 {
				got[name] += c.Packets
			}
		}
	}
	return got
}

// packet is an IPv4 packet as the tests speak of it.
type packet struct {
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
	flags        uint8 // TCP
	icmp         uint8 // type
	options      []byte
	payload      string
	noChecksum   bool // UDP
	fragment     uint16
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

func sum(b []byte, start uint32) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		start += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		start += uint32(b[len(b)-1]) << 8
	}
	return start
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// l4Checksum is where the transport's checksum lies within its header.
var l4Checksum = map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2}

func (p packet) transport() []byte {
	switch p.proto {
	case unix.IPPROTO_TCP:
		h := make([]byte, 20)
		h[12], h[13] = 5<<4, p.flags
		binary.BigEndian.PutUint16(h[0:], p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		return append(h, p.payload...)
	case unix.IPPROTO_UDP:
		h := make([]byte, 8)
		binary.BigEndian.PutUint16(h[0:], p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		binary.BigEndian.PutUint16(h[4:], uint16(8+len(p.payload)))
		return append(h, p.payload...)
	default:
		h := make([]byte, 8)
		h[0] = p.icmp
		binary.BigEndian.PutUint16(h[4:], p.sport)
		return append(h, p.payload...)
	}
}

// ip returns the packet's bytes, checksums right.
func (p packet) ip() []byte {
	h := make([]byte, 20, 128)
	h[0], h[8], h[9] = byte(0x40|(5+len(p.options)/4)), 64, p.proto
	h = append(h, p.options...)
	l4 := p.transport()
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
	binary.BigEndian.PutUint16(h[6:], p.fragment)
	copy(h[12:], p.src.AsSlice())
	copy(h[16:], p.dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], fold(sum(h, 0)))
	if at, ok := l4Checksum[p.proto]; ok && !p.noChecksum {
		binary.BigEndian.PutUint16(l4[at:], fold(sum(l4, pseudo(h, p.proto, len(l4)))))
	}
	return append(h, l4...)
}

// pseudo is the sum of the pseudo header, which ICMP has none of.
func pseudo(ip []byte, proto uint8, length int) uint32 {
	if proto == unix.IPPROTO_ICMP {
		return 0
	}
	return sum(ip[12:20], uint32(proto)+uint32(length))
}

// frame puts an Ethernet header in front.
func frame(ip []byte) []byte {
	eth := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	return append(eth, ip...)
}

func (p packet) frame() []byte { return frame(p.ip()) }

// tunnelled wraps a packet as the peer would.
func tunnelled(from netip.Addr, tag uint32, inner []byte) []byte {
	body := append([]byte{0x0c, 0, 0, 1, byte(tag >> 16), byte(tag >> 8), byte(tag), 0}, inner...)
	return packet{src: from, dst: selfOuter, proto: unix.IPPROTO_UDP, sport: 50000, dport: port, payload: string(body),
		noChecksum: true}.frame()
}

// same holds a frame's IP part against what is wanted, byte by byte.
func same(t testing.TB, got []byte, want packet) {
	t.Helper()
	if len(got) < 14 {
		t.Fatalf("a frame of %d bytes came out", len(got))
	}
	if w := want.ip(); string(got[14:]) != string(w) {
		t.Errorf("packet came out as\n% x\nwant\n% x", got[14:], w)
	}
}
