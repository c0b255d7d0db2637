// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// The keys and values of the maps, as the C sources define them.
type (
	Addr   = mapsOakAddr
	Prefix = mapsOakPrefix
	Config = mapsOakConfig
	// Takeover is in nanoseconds of CLOCK_MONOTONIC.
	Takeover  = mapsOakTakeover
	Endpoint  = mapsOakEndpoint
	Peer      = mapsOakPeer
	PeerStats = mapsOakPeerStats
	// PeerAddr is where packets of a peer come from: address and port, port 0 for any.
	PeerAddr   = mapsOakPeerAddr
	PeerHealth = mapsOakPeerHealth
	// Path is what a router on the way to a peer has said that it carries.
	Path   = mapsOakPath
	Source = mapsOakSource
	// Port is one of the worker's own addresses'.
	Port    = mapsOakPort
	Exposed = mapsOakExposed
	VIP     = mapsOakVip
	Service = mapsOakService
	Backend = mapsOakBackend
	Pending = mapsOakPending
	// ActiveFlows is what this worker's callers have to do with a backend.
	ActiveFlows = mapsOakLoad
	Hello       = mapsOakHello
	// StalePacket was sent by a peer to where nobody is.
	StalePacket = mapsOakStale
	// LostReset ends a connection of a peer's that has no place here any more.
	LostReset = mapsOakLost
	Counter   = mapsOakCounter
	// Share is how many established flows an endpoint has, by family.
	Share      = mapsOakShare
	Trace      = mapsOakTrace
	TraceEvent = mapsOakTold
	Scratch    = mapsOakScratch
)

// Owner is one of those that had a place in the map of backends: a flow remembers both.
type Owner struct {
	Backend uint32
	Slot    uint16
}

// Indices of the two-element arrays that hold one value a family.
const (
	V4 = 0
	V6 = 1
)

// Bounds of the maps, in entries.
const (
	MaxBackendsPerService = int(mapsOakLimitsOAK_MAX_BACKENDS_PER_SERVICE)
	MaxServices           = uint32(mapsOakLimitsOAK_MAX_SERVICES)
	MaxBackends           = uint32(mapsOakLimitsOAK_MAX_BACKENDS)
	MaxPeers              = uint32(mapsOakLimitsOAK_MAX_PEERS)
	// Share4 and Share6 are how many established flows of a family an endpoint may have unless [Config] says so.
	Share4 = uint32(mapsOakLimitsOAK_SHARE4)
	Share6 = uint32(mapsOakLimitsOAK_SHARE6)
	// MaxHello is the largest hello packet, in bytes after the tunnel header.
	MaxHello = int(mapsOakLimitsOAK_HELLO_MAX)
)

// EndpointHost marks the endpoint that is the worker itself.
const EndpointHost = uint32(mapsOakEndpointFlagsOAK_ENDPOINT_HOST)

// What a backend has whose distance, or load, is not known. LoadFull is the most that is reported.
const (
	DistanceUnknown = uint16(0xffff)
	LoadUnknown     = uint16(0xffff)
	LoadFull        = uint16(1000)
)

// Overhead is how many bytes the tunnel adds to a packet: the outer IP header, UDP's 8 and VXLAN-GPE's 8.
func Overhead(outerIsIPv4 bool) int {
	if outerIsIPv4 {
		return 20 + 8 + 8
	}
	return 40 + 8 + 8
}

// Kinds of what the programs tell NetManager: the first four bytes of each record in events.
const (
	EventHello = uint32(mapsOakEventOAK_EVENT_HELLO)
	EventStale = uint32(mapsOakEventOAK_EVENT_STALE)
	EventLost  = uint32(mapsOakEventOAK_EVENT_LOST)
)

// States of a peer.
const (
	PeerFree        = uint32(mapsOakPeerStateOAK_PEER_FREE)
	PeerGreeting    = uint32(mapsOakPeerStateOAK_PEER_GREETING)
	PeerUp          = uint32(mapsOakPeerStateOAK_PEER_UP)
	PeerUnreachable = uint32(mapsOakPeerStateOAK_PEER_UNREACHABLE)

	PeerBothSymmetric = uint32(mapsOakPeerStateOAK_PEER_BOTH_SYMMETRIC)
	PeerOneSymmetric  = uint32(mapsOakPeerStateOAK_PEER_ONE_SYMMETRIC)
)

// Policies of a service address. PolicyNone remembers that nobody has the address.
const (
	PolicyNone          = uint32(mapsOakPolicyOAK_POLICY_NONE)
	PolicyRoundRobin    = uint32(mapsOakPolicyOAK_POLICY_RR)
	PolicyClosest       = uint32(mapsOakPolicyOAK_POLICY_CLOSEST)
	PolicyUnderutilized = uint32(mapsOakPolicyOAK_POLICY_UNDERUTILIZED)
	PolicyInstance      = uint32(mapsOakPolicyOAK_POLICY_INSTANCE)
)

// Flags of a flow's direction.
const (
	FlowRewrite     = uint16(mapsOakCtFlagsOAK_CT_REWRITE)
	FlowReply       = uint16(mapsOakCtFlagsOAK_CT_REPLY)
	FlowTunnel      = uint16(mapsOakCtFlagsOAK_CT_TUNNEL)
	FlowRemote      = uint16(mapsOakCtFlagsOAK_CT_REMOTE)
	FlowHeld        = uint16(mapsOakCtFlagsOAK_CT_HELD)
	FlowEstablished = uint16(mapsOakCtFlagsOAK_CT_ESTABLISHED)
	FlowPlain       = uint16(mapsOakCtFlagsOAK_CT_PLAIN)
	FlowDead        = uint16(mapsOakCtFlagsOAK_CT_DEAD)
	FlowOut         = uint16(mapsOakCtFlagsOAK_CT_OUT)
	FlowClosed      = uint16(mapsOakCtFlagsOAK_CT_CLOSED)
)

// What of TCP a direction has seen.
const (
	SeenSYN = uint8(mapsOakTcpSeenOAK_TCP_SYN)
	SeenFIN = uint8(mapsOakTcpSeenOAK_TCP_FIN)
	SeenRST = uint8(mapsOakTcpSeenOAK_TCP_RST)
	SeenACK = uint8(mapsOakTcpSeenOAK_TCP_ACK)
)

// AddrFrom returns a in the form of the maps: 16 bytes, IPv4 mapped into IPv6. The zero [netip.Addr] gives the zero Addr.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return Addr{B: a.As16()}
}

// Netip is the inverse of [AddrFrom].
func (a mapsOakAddr) Netip() netip.Addr {
	if a == (Addr{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a.B).Unmap()
}

func (a mapsOakAddr) String() string {
	if a == (Addr{}) {
		return "-"
	}
	return a.Netip().String()
}

// PrefixFrom returns p in the form of the maps.
func PrefixFrom(p netip.Prefix) Prefix {
	if !p.IsValid() {
		return Prefix{}
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	var mask [16]byte
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return Prefix{Addr: AddrFrom(p.Masked().Addr()), Mask: Addr{B: mask}}
}

// ParseID turns the 24 hexadecimal digits of a worker's or service's id into what maps hold.
func ParseID(id string) ([12]byte, error) {
	var out [12]byte
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(out) {
		return out, fmt.Errorf("parse id %q: want 24 hexadecimal digits", id)
	}
	copy(out[:], b)
	return out, nil
}

// FormatID is the inverse of [ParseID]; the zero id gives "".
func FormatID(id [12]byte) string {
	if id == ([12]byte{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}
