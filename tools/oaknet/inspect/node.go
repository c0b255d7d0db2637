// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Node is another worker as this one sees it.
type Node struct {
	// Index is its place in the map peers.
	Index    uint32 `json:"index"`
	WorkerID string `json:"worker_id"`
	// State is greeting (never met, not chosen), up, or unreachable (leaves echoes unanswered, or cannot be met: not chosen for new flows).
	State string `json:"state"`
	// Reason says why it is not up, for a person; empty if it is.
	Reason string `json:"reason"`
	// Outer and Port are where packets to it go, as learned by hello; empty and 0 while it was never met.
	Outer netip.Addr `json:"outer"`
	Port  uint16     `json:"port"`
	// Local is this worker's own address towards it, Ifindex and Interface the uplink, MTU that of the way, in bytes.
	Local     netip.Addr `json:"local"`
	Ifindex   uint32     `json:"ifindex"`
	Interface string     `json:"interface"`
	MTU       uint16     `json:"mtu"`
	// PathMTU is what a router on the way has said that the tunnel carries, which is less; 0 if none has, or not of late. PathLearned is how
	// long ago that was, PathFor how long it is believed yet, in seconds.
	PathMTU     uint16   `json:"path_mtu"`
	PathLearned *float64 `json:"path_learned_seconds"`
	PathFor     *float64 `json:"path_believed_seconds"`
	// Sources counts the Instance IPs that are known to live there.
	Sources int `json:"sources"`
	// The counters are of packets that were encapsulated for it and accepted from it; bytes are those of Ethernet frames.
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	// LastHeard is how long ago its last packet was accepted, in seconds; null if none was.
	LastHeard *float64 `json:"last_heard_seconds"`
	// RTT is the smoothed round trip to it, in milliseconds, Measured how long ago it was measured last, in seconds; null if never.
	RTT      *float64 `json:"rtt_ms"`
	Measured *float64 `json:"rtt_measured_seconds"`
	// NAT says that addresses change between here and there.
	NAT bool `json:"nat"`
}

// Nodes lists all other workers by index.
func (r *Reader) Nodes() ([]Node, error) {
	peers, err := r.peers()
	if err != nil {
		return nil, err
	}
	sources, err := r.sourcesByPeer()
	if err != nil {
		return nil, err
	}
	config, err := r.config()
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	out := make([]Node, 0, len(peers))
	for index, p := range peers {
		n := Node{
			Index: index, WorkerID: bpf.FormatID(p.Id), State: peerState(p.State),
			Outer: p.Outer.Netip(), Port: p.Port, Local: p.Local.Netip(),
			Ifindex: p.Ifindex, Interface: r.names[p.Ifindex], MTU: p.Mtu, Sources: sources[index], NAT: p.Sport != 0,
		}
		perCPU, _, err := r.maps.PeerStats.Lookup(index)
		if err != nil {
			return nil, fmt.Errorf("read traffic of peer %d: %w", index, err)
		}
		for _, s := range perCPU {
			n.TxPackets += s.TxPackets
			n.TxBytes += s.TxBytes
			n.RxPackets += s.RxPackets
			n.RxBytes += s.RxBytes
		}
		health, _, err := r.maps.PeerHealth.Lookup(index)
		if err != nil {
			return nil, fmt.Errorf("read health of peer %d: %w", index, err)
		}
		n.LastHeard, n.Measured = r.clock.sinceOrNever(health.Heard), r.clock.sinceOrNever(health.Sampled)
		if health.Sampled != 0 {
			ms := float64(health.RttUs) / 1000
			n.RTT = &ms
		}
		if p.State == bpf.PeerUp && health.Silent(r.clock.Monotonic) {
			n.State, n.Reason = peerState(bpf.PeerUnreachable), "leaves echoes unanswered"
		}
		if p.State == bpf.PeerGreeting {
			n.Reason = "has not answered a greeting"
		}
		if why := natReason(p.State); why != "" {
			n.Reason = fmt.Sprintf("%s: open UDP port %d at one of them", why, config.TunnelPort)
		}
		path, _, err := r.maps.Paths.Lookup(index)
		if err != nil {
			return nil, fmt.Errorf("read the way to peer %d: %w", index, err)
		}
		if n.PathMTU = path.Limit(p, r.clock.Monotonic); n.PathMTU != 0 {
			left := seconds(time.Duration(path.Until) - r.clock.Monotonic)
			n.PathLearned, n.PathFor = r.clock.sinceOrNever(path.Learned), &left
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

func (r *Reader) sourcesByPeer() (map[uint32]int, error) {
	var err error
	out := map[uint32]int{}
	for _, s := range r.maps.Sources.All(&err) {
		out[s.Peer]++
	}
	return out, err
}
