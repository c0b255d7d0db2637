// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// Topics of the conversation between a cluster and the NetManager of the worker {id}; see [Topic].
const (
	TopicAliveNet     = "alive/net"     // NetManager → cluster, retained, also its last will: Alive
	TopicNetNode      = "net/node"      // cluster → NetManager, retained: NetNode
	TopicNetPeers     = "net/peers"     // cluster → NetManager: NetPeers
	TopicNetEndpoints = "net/endpoints" // NetManager → cluster: NetEndpoints
	TopicNetInterest  = "net/interest"  // NetManager → cluster: NetInterest
	TopicNetRoutes    = "net/routes/"   // + service id; cluster → NetManager: NetRoutes
	TopicNetResolved  = "net/resolved"  // cluster → NetManager: NetResolved
)

// NetNode is the overlay's configuration of one worker.
type NetNode struct {
	Header
	WorkerID string `json:"worker_id"`
	// Subnets are the worker's own, v4 and v6; the first v4 one's first address is the gateway.
	Subnets []netip.Prefix `json:"subnets"`
	Ranges  Ranges         `json:"ranges"`
	// TunnelPort is the UDP port of the overlay, 50103 unless configured.
	TunnelPort uint16 `json:"tunnel_port"`
	// Observer answers hellos; nil if the cluster has none.
	Observer *NetObserver `json:"observer,omitempty"`
	// Location is where the worker is; nil if unknown.
	Location *Location `json:"location,omitempty"`
}

// Location is a place on the earth, in degrees.
type Location struct {
	Latitude  float64 `json:"lat"`
	Longitude float64 `json:"lon"`
}

// NetObserver is who tells a worker, by answers to hello packets, at which address and port it is seen from outside.
type NetObserver struct {
	// ID is what the observer is called in hellos: 24 hexadecimal digits. It is new, as the key is, when the cluster's process is.
	ID string `json:"id"`
	// PublicKey is its X25519 key, 32 bytes.
	PublicKey []byte `json:"public_key"`
	// Port is its UDP port, at the addresses at which the worker reaches the cluster's brokers.
	Port uint16 `json:"port"`
	// OtherPort is a second one there, at which it answers too; 0 for none. A NAT that shows the worker to both ports differently shows it
	// to everybody differently.
	OtherPort uint16 `json:"other_port,omitempty"`
}

// NetPeers is the full list of the workers that a worker's interest, or the interest of others in its services, concerns.
// A peer or source that conntrack still uses is kept although a list lacks it.
//
// With Base it is a change instead, of the list with that stamp: Peers are those that came or are different now, Gone those that went.
// Only a worker whose interest says that it takes changes is sent one. Who holds another list ignores it and declares its interest
// again, with the stamp that it holds, upon which it is sent all.
type NetPeers struct {
	Header
	Peers []NetPeer `json:"peers"`
	Base  Stamp     `json:"base,omitzero"`
	Gone  []string  `json:"gone,omitempty"`
}

// NAT is what a worker knows of the NAT that it is behind: no more than what others' answers have shown.
type NAT string

// What NATs do. Of two workers behind symmetric ones neither can find the other: what one sees of a NAT is of no use to another.
const (
	// NATNone is for none, or none that has shown yet.
	NATNone NAT = ""
	// NATPlain shows the worker elsewhere than it is, at one place as far as is known.
	NATPlain NAT = "plain"
	// NATSymmetric shows it at another port to each other side.
	NATSymmetric NAT = "symmetric"
)

// NetPeer is another worker.
type NetPeer struct {
	WorkerID string `json:"worker_id"`
	// PublicKey is the X25519 key of its NetManager, 32 bytes.
	PublicKey []byte         `json:"public_key"`
	Subnets   []netip.Prefix `json:"subnets"`
	// Outer are the addresses at which hello packets may find it.
	Outer []netip.AddrPort `json:"outer"`
	NAT   NAT              `json:"nat,omitempty"`
	// Sources are the Instance IPs that live there now.
	Sources []NetSource `json:"sources"`
}

// NetSource is an Instance IP that may appear as a source of packets from a peer.
type NetSource struct {
	InstanceKey
	Generation   Generation `json:"generation"`
	InstanceIP   netip.Addr `json:"instance_ip"`
	InstanceIPv6 netip.Addr `json:"instance_ipv6"`
}

// NetEndpoints is the full list of a worker's local endpoints, and what others need to reach the worker.
type NetEndpoints struct {
	Header
	PublicKey []byte           `json:"public_key"`
	Outer     []netip.AddrPort `json:"outer"`
	NAT       NAT              `json:"nat,omitempty"`
	Endpoints []NetEndpoint    `json:"endpoints"`
	// RoundTrips are the smoothed round trips in ms to other workers, by their ids, as the dataplane has measured them; the cluster makes
	// network coordinates of them. A message that is sent for nothing else comes with them, every ten seconds at most.
	RoundTrips map[string]float64 `json:"round_trips,omitempty"`
}

// NetEndpoint is one attached instance.
type NetEndpoint struct {
	InstanceKey
	Generation    Generation `json:"generation"`
	NamespaceIP   netip.Addr `json:"namespace_ip"`
	NamespaceIPv6 netip.Addr `json:"namespace_ipv6"`
	// Tag is the VNI of every packet of a flow to or from this endpoint: 24 random bits, never 0.
	Tag uint32 `json:"tag"`
}

// NetInterest is the full set of what a worker wants routes and names for.
type NetInterest struct {
	Header
	Addresses []InterestAddress `json:"addresses"`
	// Names are wanted likewise; a cluster that does not know them yet answers none.
	Names []InterestName `json:"names,omitempty"`
	// Peers is the stamp of the peer list that the worker holds.
	Peers Stamp `json:"peers"`
	// PeerChanges says that the worker takes a [NetPeers] with a Base, RouteChanges that it takes a [NetRoutes] with one.
	PeerChanges  bool `json:"peer_changes,omitempty"`
	RouteChanges bool `json:"route_changes,omitempty"`
}

// InterestAddress is one service address or Instance IP that a worker wants, and the stamp of the routes that it holds for it.
type InterestAddress struct {
	Address netip.Addr `json:"address"`
	Held    Stamp      `json:"held"`
}

// Resolution is what the cluster knows of a wanted address or name.
type Resolution string

// The answers to a wanted address or name.
const (
	// ResolvedService means that a service has it. For an address, NetRoutes of that service follow or have been sent.
	ResolvedService Resolution = "service"
	// ResolvedNone means that no service has it; it is remembered for 5 s.
	ResolvedNone Resolution = "none"
	// ResolvedUnavailable means that it cannot be told now; it is never remembered.
	ResolvedUnavailable Resolution = "unavailable"
)

// NetResolved answers each wanted address of an interest message, and each wanted name whose answer the worker does not hold.
type NetResolved struct {
	Header
	Entries []ResolvedAddress `json:"entries"`
	Names   []ResolvedName    `json:"names,omitempty"`
}

// ResolvedAddress is the answer for one address.
type ResolvedAddress struct {
	Address    netip.Addr `json:"address"`
	Resolution Resolution `json:"resolution"`
	ServiceID  string     `json:"service_id,omitempty"`
}
