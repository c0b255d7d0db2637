// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/model"
)

func at(s string) netip.Addr { return netip.MustParseAddr(s) }

// pair makes an address of the overlay in both families: what it is of, and a number.
func pair(of byte, n byte) [2]netip.Addr {
	six := [16]byte{0: 0xfd, 1: of, 15: n}
	return [2]netip.Addr{netip.AddrFrom4([4]byte{10, of, of & 1, n}), netip.AddrFrom16(six)}
}

// The overlay: namespace addresses are 10.18.0.x, Instance IPs 10.31.1.x and service addresses 10.30.0.x, in IPv6 fd12::x, fd1f::x and
// fd1e::x. Peers 1 and 2 are reached over IPv4, 3 and 4 over IPv6; 2 and 4 by a port; 5 has no address yet.
const (
	nsOf      = 18
	serviceOf = 30
	instOf    = 31
	ourPort   = 50103
)

var peerPorts = map[uint32]uint16{1: ourPort, 2: 4444, 3: ourPort, 4: 4445, 5: 0}

// ownAddresses are the worker's own.
var ownAddresses = [2]netip.Addr{at("203.0.113.1"), at("2001:db8:203::1")}

// newWorld makes the tables that the fuzzer plays on: two containers and the worker itself here, ports that lead to them, few flows for each, peers of both families, a service of each policy.
func newWorld() *model.World {
	w := &model.World{
		Services: [2]netip.Prefix{netip.MustParsePrefix("10.30.0.0/15"), netip.MustParsePrefix("fd1e::/15")},
		Workers:  [2]netip.Prefix{netip.MustParsePrefix("10.18.0.0/16"), netip.MustParsePrefix("fd12::/16")},
		Gateway:  pair(nsOf, 1),
		Port:     ourPort,
		Manager:  true,
		Endpoints: map[uint32]model.Endpoint{
			clientLink: {NS: pair(nsOf, 2), Inst: pair(instOf, 2), Tag: 0x0c11e7},
			serverLink: {NS: pair(nsOf, 3), Inst: pair(instOf, 3), Tag: 0xabcdef},
			hostLink:   {NS: pair(nsOf, 1), Inst: pair(nsOf, 1), Tag: 0x0057ed, Host: true},
		},
		// Ports of this worker: one leads to the server, one back to the client, if it is that who calls.
		Exposed: map[model.Port]model.Exposed{
			{Port: 8080, Proto: unix.IPPROTO_TCP}: {Iface: serverLink, Port: 80, Uplink: clientLink},
			{Port: 8080, Proto: unix.IPPROTO_UDP}: {Iface: serverLink, Port: 80, Uplink: clientLink},
			{Port: 53, Proto: unix.IPPROTO_UDP}:   {Iface: clientLink, Port: 53, Uplink: clientLink},
		},
		Own:       map[netip.Addr]bool{ownAddresses[0]: true, ownAddresses[1]: true},
		Share:     [2]int{5, 5},
		Peers:     map[uint32]model.Peer{},
		PeerAt:    map[netip.AddrPort]uint32{},
		Sources:   map[netip.Addr]uint32{},
		Addresses: map[netip.Addr]model.Address{},
		Sets:      map[uint32][]uint32{},
		Backends:  map[uint32]model.Backend{},
	}
	for n, port := range peerPorts {
		p := model.Peer{Outer: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), Local: at("192.0.2.99"), Port: port, Up: n < 5}
		if n >= 3 {
			p.Outer, p.Local = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n)}), at("2001:db8::99")
		}
		from := netip.AddrPortFrom(p.Outer, 0)
		if n == 2 || n == 4 {
			p.Sport = 40000 + uint16(n)
			from = netip.AddrPortFrom(p.Outer, port)
		}
		if n == 3 {
			p.MTU = 200
		}
		w.Peers[n] = p
		if n < 5 {
			w.PeerAt[from] = n
		}
		// An instance of each peer: where it is, and who it is as a caller.
		w.Backends[n] = model.Backend{NS: pair(nsOf, 100+byte(n)), Peer: n, Tag: 0x100000 + n, Slot: uint16(n), Distance: uint16(n)}
		for _, a := range pair(instOf, 100+byte(n)) {
			w.Sources[a] = n
			w.Addresses[a] = model.Address{Policy: model.Instance, Backend: n}
		}
	}
	w.Backends[2] = model.Backend{NS: pair(nsOf, 102), Peer: 2, Tag: 0x100002, Slot: 2, Distance: 2, RTT: 1000}
	w.Backends[10] = model.Backend{NS: pair(nsOf, 2), Iface: clientLink, Tag: 0x0c11e7, Slot: 10}
	w.Backends[11] = model.Backend{NS: pair(nsOf, 3), Iface: serverLink, Tag: 0xabcdef, Slot: 11, Load: 300}
	w.Backends[12] = model.Backend{NS: [2]netip.Addr{pair(nsOf, 3)[0]}, Iface: serverLink, Tag: 0xabcdef, Slot: 12} // IPv4 alone
	w.Backends[13] = model.Backend{NS: pair(nsOf, 110), Peer: 1, Tag: 0x11000d, Slot: 13, Gone: true}
	for service, s := range map[uint32]struct {
		policy   model.Policy
		backends []uint32
	}{
		1: {model.RoundRobin, []uint32{11}},
		2: {model.RoundRobin, []uint32{1, 2, 3, 4, 5, 10, 11, 12, 13}},
		3: {model.Closest, []uint32{1, 2, 3, 4}},
		4: {model.Closest, []uint32{1, 10, 11}},
		5: {model.Underutilized, []uint32{1, 3, 11}},
		6: {model.RoundRobin, nil},
		7: {model.RoundRobin, []uint32{5, 13}},
		8: {model.RoundRobin, []uint32{1}},
		9: {model.RoundRobin, []uint32{3}},
	} {
		w.Sets[service] = s.backends
		for _, a := range pair(serviceOf, byte(service)) {
			w.Addresses[a] = model.Address{Policy: s.policy, Service: service}
		}
	}
	for i := range 2 {
		w.Addresses[pair(serviceOf, 20)[i]] = model.Address{Policy: model.Refused}
		w.Addresses[pair(instOf, 2)[i]] = model.Address{Policy: model.Instance, Backend: 10}
		w.Addresses[pair(instOf, 3)[i]] = model.Address{Policy: model.Instance, Backend: 11}
	}
	w.Reset()
	return w
}
