// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
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

// newKernel makes the world, both families inside, IPv4 outside.
func newKernel(t testing.TB) *kernel { return newKernelOf(t, pairing{}) }

// newKernelOf makes the world with peers that are reached by the outer family of f.
func newKernelOf(t testing.TB, f pairing) *kernel {
	t.Helper()
	has, err := probe.HaveRoom(probe.RoomDecapIPv4 | probe.RoomDecapIPv6)
	must(t, err)
	return newKernelOn(t, f, Kernel{DecapL3: has})
}

func newKernelOn(t testing.TB, f pairing, on Kernel) *kernel {
	t.Helper()
	p, m, err := Load("", on)
	must(t, err)
	k := &kernel{t: t, progs: p, maps: m}
	t.Cleanup(func() { k.remember(); p.Close(); _ = m.Close() })
	must(t, m.Config.Put(0, Config{
		Services4: PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Workers4: PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")),
		Services6: PrefixFrom(netip.MustParsePrefix("fd30::/16")), Workers6: PrefixFrom(netip.MustParsePrefix("fd18::/16")),
		Gateway4: AddrFrom(gateway), Gateway6: AddrFrom(to6(gateway)), UpcallIfindex: upcallIndex, TunnelPort: port, Mtu: 1444,
	}))
	k.endpoint(loopback, client, clientInst, 0x1)
	k.endpoint(otherLink, server, serverInst, serverTag)
	must(t, m.Peers.Put(1, Peer{Outer: AddrFrom(f.outside(peerOuter)), Local: AddrFrom(f.outside(selfOuter)), Family: uint16(f.outer),
		Ifindex: loopback, Port: port, State: PeerUp}))
	must(t, m.Peers.Put(2, Peer{State: PeerGreeting}))
	must(t, m.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(f.outside(peerOuter))}, 1))
	k.source(farClient, 1)
	k.backend(1, server, serverInst, Backend{Ifindex: otherLink, Tag: serverTag, Service: 1})
	k.backend(2, farServer, farInst, Backend{Peer: 1, Tag: farTag, Service: 2})
	k.backend(3, farServer, farInst, Backend{Peer: 2, Tag: farTag, Service: 5})
	k.service(1, vipLocal, 1)
	k.service(2, vipRemote, 2)
	k.service(4, vipEmpty)
	k.service(5, vipUnmet, 3)
	k.vip(vipRefused, VIP{Policy: PolicyNone})
	k.vip(farInst, VIP{Policy: PolicyInstance, Service: 2, Backend: 2})
	return k
}

// source, vip and the functions below write both families' entries.
func (k *kernel) source(addr netip.Addr, peer uint32) {
	for _, a := range both(addr) {
		must(k.t, k.maps.Sources.Put(AddrFrom(a), Source{Peer: peer, Generation: 1}))
	}
}

func (k *kernel) vip(addr netip.Addr, v VIP) {
	for _, a := range both(addr) {
		must(k.t, k.maps.VIPs.Put(AddrFrom(a), v))
	}
}

func (k *kernel) endpoint(ifindex uint32, ns, inst netip.Addr, tag uint32) {
	ep := Endpoint{Ifindex: ifindex, Tag: tag, Generation: 1}
	for family, a := range both(ns) {
		ep.Ns[family], ep.Inst[family] = AddrFrom(a), AddrFrom(both(inst)[family])
		must(k.t, k.maps.Local.Put(AddrFrom(a), ifindex))
	}
	must(k.t, k.maps.Endpoints.Put(ifindex, ep))
}

func (k *kernel) backend(index uint32, ns, inst netip.Addr, b Backend) {
	b.Generation = 1
	b.SetAddrs(both(ns), both(inst))
	must(k.t, k.maps.Backends.Put(index, b))
}

func (k *kernel) service(index uint32, vip netip.Addr, backends ...uint32) {
	s := Service{Count: uint32(len(backends))}
	copy(s.Backends[:], backends)
	must(k.t, k.maps.Services.Put(index, s))
	k.vip(vip, VIP{Policy: PolicyRoundRobin, Service: index})
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

// refuses gives a packet to a program and holds that it drops it for a reason, and for nothing else.
func (k *kernel) refuses(what, reason string, ifindex uint32, prog *ebpf.Program, frame []byte) {
	k.t.Helper()
	before, told := k.drops(), k.answers()
	verdict, _ := k.runFrom(ifindex, prog, frame)
	got := k.drops()
	for name, n := range before {
		if got[name] -= n; got[name] == 0 {
			delete(got, name)
		}
	}
	want := uint32(verdictDrop)
	if k.answers() != told {
		want = verdictRedirect // of what tells the sender
	}
	if verdict != want || got[reason] != 1 || len(got) != 1 {
		k.t.Errorf("%s: verdict %#x, drops %v; want a drop for %s alone", what, verdict, got, reason)
	}
}
