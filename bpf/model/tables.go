// SPDX-License-Identifier: Apache-2.0

package model

import "net/netip"

// Indices of what there is one of a family.
const (
	V4 = 0
	V6 = 1
)

// Place is where packets come from or go to: a local interface, a peer, or what is outside.
type Place struct {
	Peer    bool
	Outside bool
	Index   uint32
}

// Outside is where packets come from that reach an uplink bare. Where they go to, Index is the uplink.
var Outside = Place{Outside: true}

// Endpoint is a local instance, or the worker itself.
type Endpoint struct {
	NS, Inst [2]netip.Addr
	Tag      uint32
	Host     bool
}

// Peer is another worker.
type Peer struct {
	Outer, Local netip.Addr
	Port         uint16 // 0: not located
	Sport        uint16 // 0: by the flow
	MTU          int    // 0: no limit
	Up           bool   // may be chosen
}

// Backend is an instance as a target; the zero NS of a family says that it has no address of it.
type Backend struct {
	NS       [2]netip.Addr
	Gone     bool
	Peer     uint32 // 0: on this worker
	Iface    uint32
	Tag      uint32
	Slot     uint16
	Distance uint16
	RTT      uint32 // µs to its peer; 0: not measured
	Load     uint32 // of 1000
}

// Policy is how an instance is chosen.
type Policy int

// The policies. Refused remembers that nobody has the address.
const (
	Refused Policy = iota
	RoundRobin
	Closest
	Underutilized
	Instance
)

// Address is what a service address stands for: a service, or one backend.
type Address struct {
	Policy  Policy
	Service uint32
	Backend uint32
}

// Key is a direction of a flow as its packets arrive. An echo's ports are its identifier, on the side that asks, and [EchoPort].
type Key struct {
	Src, Dst     netip.Addr
	Sport, Dport uint16
	Proto        uint8
	From         Place
}

// EchoPort stands for the side of an echo that answers.
const EchoPort = 0x0800

// Flow is one direction of a flow.
type Flow struct {
	Src, Dst     netip.Addr // after translation
	Sport, Dport uint16
	To           Place
	Tag          uint32
	Rewrite      bool // changes addresses and ports
	Reply        bool // towards the opener
	Remote       bool // comes from a peer
	Held         bool // opened by a packet that NetManager had held
	Plain        bool // is delivered by way of the host side
	Established  bool
	Closed       bool
	Seen         uint8 // TCP's flags, as Seen… says
	Backend      uint32
	Slot         uint16
	Packets      uint64
	Bytes        uint64
}

// TCP's flags that flows remember.
const (
	SeenSYN = 1 << iota
	SeenFIN
	SeenRST
	SeenACK
)

// Wanted is an address that NetManager has been asked for, as a destination or as a source.
type Wanted struct {
	Addr   netip.Addr
	Source bool
}

type held struct{ up, down int }

type pieceKey struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8
	from     Place
}

type piece struct {
	sport, dport uint16
	proto        uint8
	open         bool
}

// World is all that the programs go by, and what they remember.
type World struct {
	Services, Workers [2]netip.Prefix
	Gateway           [2]netip.Addr
	Port              uint16
	Manager           bool // NetManager lives and can be asked
	Endpoints         map[uint32]Endpoint
	Peers             map[uint32]Peer
	PeerAt            map[netip.AddrPort]uint32 // port 0: any
	Paths             map[uint32]int            // what the tunnel carries to a peer for what a router has said
	Sources           map[netip.Addr]uint32     // Instance IPs of other workers
	Addresses         map[netip.Addr]Address
	Sets              map[uint32][]uint32 // a service's backends
	Backends          map[uint32]Backend
	Exposed           map[Port]Exposed
	Own               map[netip.Addr]bool // this worker's own addresses
	Share             [2]int              // established flows of an endpoint by family; 0: as many as it likes

	// Pick says which of several that are all right was chosen for a flow; MovedPort, which port a flow was given.
	Pick      func(key Key, allowed []uint32) uint32
	MovedPort func(key Key) uint16

	Flows  map[Key]*Flow
	Active map[uint32]uint32
	Given  map[uint32]uint32 // lately, by underutilized: the clock's to say, and halved at any moment
	Turns  map[uint32]uint32
	Shares map[uint32][2]int // established flows by endpoint
	held   map[Wanted]held
	pieces map[pieceKey]piece
}

// Reset forgets all that packets have left behind.
func (w *World) Reset() {
	w.Flows, w.Active, w.Given, w.Turns = map[Key]*Flow{}, map[uint32]uint32{}, map[uint32]uint32{}, map[uint32]uint32{}
	w.Shares = map[uint32][2]int{}
	w.held, w.pieces, w.Paths = map[Wanted]held{}, map[pieceKey]piece{}, map[uint32]int{}
}

// Held returns how many packets of what is wanted NetManager has got and given back.
func (w *World) Held(what Wanted) (up, down int) {
	h := w.held[what]
	return h.up, h.down
}

// Holding lists what is held.
func (w *World) Holding() []Wanted {
	var all []Wanted
	for k := range w.held {
		all = append(all, k)
	}
	return all
}

// Verdicts of tc.
const (
	Next     = uint32(0xffffffff)
	Drop     = uint32(2)
	Redirect = uint32(7)
)

// Outcome is what becomes of a packet.
type Outcome struct {
	Verdict uint32
	Reason  string // of a drop that is counted as one
	Sent    string // the counter of where it went
	From    string // the counter of where it came from
	Frame   []byte // of all but drops
	// To and Got are where it went and what its receiver sees, of packets that flows carry.
	To    Place
	Got   Key
	Tag   uint32
	Hello []byte
	// SourcePortFree says that the outer source port, whose hash is not modelled, may be any dynamic one, which Frame has 0 for.
	SourcePortFree bool
}

func dropped(reason string) Outcome { return Outcome{Verdict: Drop, Reason: reason} }

func (w *World) serviceRange(a netip.Addr) bool { return in(w.Services, a) }
func (w *World) workerRange(a netip.Addr) bool  { return in(w.Workers, a) }
func (w *World) overlay(a netip.Addr) bool      { return w.serviceRange(a) || w.workerRange(a) }

func in(p [2]netip.Prefix, a netip.Addr) bool { return p[V4].Contains(a) || p[V6].Contains(a) }

func (w *World) endpointAt(a netip.Addr, family int) (uint32, bool) {
	for iface, ep := range w.Endpoints {
		if ep.NS[family] == a {
			return iface, true
		}
	}
	return 0, false
}

func (w *World) peerAt(src netip.Addr, port uint16) uint32 {
	if p, ok := w.PeerAt[netip.AddrPortFrom(src, 0)]; ok {
		return p
	}
	return w.PeerAt[netip.AddrPortFrom(src, port)]
}
