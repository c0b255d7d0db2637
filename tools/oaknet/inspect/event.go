// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Event is one decision about a packet that is traced.
type Event struct {
	At time.Time `json:"at"`
	// Packet is a number that all events of one packet have.
	Packet string `json:"packet"`
	// Step is container, tunnel, card, back or outside of an arrival; service, backend, opened and flow on the way; local, peer, out, stack,
	// upcall or drop at the end. Text says it to a person.
	Step string `json:"step"`
	Text string `json:"text"`
	// Last says that the packet has left the program.
	Last bool `json:"last"`
	// Ifindex and Interface are where the program hangs.
	Ifindex   uint32 `json:"ifindex"`
	Interface string `json:"interface"`
	// Protocol is tcp, udp, icmp, or empty where it was not read. The addresses are those of the packet as it arrived; of the step flow, those
	// with which it goes on. An echo's identifier is the port of who asks.
	Protocol        string     `json:"protocol"`
	Source          netip.Addr `json:"source"`
	SourcePort      uint16     `json:"source_port"`
	Destination     netip.Addr `json:"destination"`
	DestinationPort uint16     `json:"destination_port"`
	// TCP lists the flags that matter: SYN, FIN, RST, ACK.
	TCP []string `json:"tcp"`
	// Bytes are the Ethernet frame's.
	Bytes uint32 `json:"bytes"`
	// Reason is that of a drop.
	Reason string `json:"reason"`
}

// Describer tells what events mean. It looks at the maps as they are when it is asked.
type Describer struct {
	r       *Reader
	reasons map[uint32]string
}

// Describer returns one for this datapath.
func (r *Reader) Describer() (*Describer, error) {
	reasons, err := bpf.DropReasons()
	return &Describer{r, reasons}, err
}

// Event says what an event means.
func (d *Describer) Event(e bpf.TraceEvent) Event {
	out := Event{
		At: d.r.clock.Wall.Add(time.Duration(e.At) - d.r.clock.Monotonic).UTC(), Packet: fmt.Sprintf("%08x", e.Packet),
		Last: e.Step >= bpf.StepLast, Ifindex: e.Ifindex, Interface: d.r.names[e.Ifindex],
		Source: e.Src.Netip(), Destination: e.Dst.Netip(), SourcePort: hostPort(e.Sport), DestinationPort: hostPort(e.Dport),
		TCP: tcpFlags(e.Tcp), Bytes: e.Len,
	}
	if e.Proto != 0 {
		out.Protocol = protocolName(e.Proto)
	}
	out.Step, out.Text = d.step(e, &out)
	return out
}

func tcpFlags(seen uint8) []string {
	out := []string{}
	for _, f := range []struct {
		bit  uint8
		name string
	}{{bpf.SeenSYN, "SYN"}, {bpf.SeenFIN, "FIN"}, {bpf.SeenRST, "RST"}, {bpf.SeenACK, "ACK"}} {
		if seen&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

func (d *Describer) step(e bpf.TraceEvent, out *Event) (name, text string) {
	switch e.Step {
	case bpf.StepContainer:
		return "container", "came out of " + d.endpoint(e.Where)
	case bpf.StepTunnel:
		return "tunnel", "came through the tunnel from " + d.worker(e.Where&^bpf.FromPeer)
	case bpf.StepCard:
		return "card", "came through the tunnel from " + d.worker(e.Where&^bpf.FromPeer) + "; the card's program has taken the outer headers off"
	case bpf.StepBack:
		return "back", "came back from NetManager"
	case bpf.StepOutside:
		return "outside", "came from outside by " + d.device(e.Ifindex)
	case bpf.StepService:
		if e.B == bpf.PolicyNone {
			return "service", "is for an address that nobody has"
		}
		return "service", fmt.Sprintf("is for service %s by %s", d.service(e.A), policyName(e.B))
	case bpf.StepBackend:
		return "backend", "is given to " + d.backend(e.A)
	case bpf.StepOpened:
		return "opened", "opens a flow"
	case bpf.StepFlow:
		return "flow", flowText(e, out)
	case bpf.StepLocal:
		return "local", "is delivered to " + d.endpoint(e.A)
	case bpf.StepPeer:
		return "peer", fmt.Sprintf("is sent through the tunnel to %s by %s", d.worker(e.A), d.device(e.B))
	case bpf.StepStack:
		return "stack", "is left to the host's stack"
	case bpf.StepUpcall:
		return "upcall", "is handed to NetManager, who asks for what is not known here"
	case bpf.StepOut:
		return "out", "is sent outside as it is, by " + d.device(e.A)
	case bpf.StepDrop:
		out.Reason = cmp.Or(d.reasons[e.A], fmt.Sprintf("reason-%d", e.A))
		return "drop", "is dropped: " + out.Reason
	}
	return fmt.Sprintf("step-%d", e.Step), fmt.Sprintf("took a step that this oak-net does not know (%d, %d)", e.A, e.B)
}

func flowText(e bpf.TraceEvent, out *Event) string {
	direction := "from its opener"
	if uint16(e.A)&bpf.FlowReply != 0 {
		direction = "towards its opener"
	}
	if uint16(e.A)&bpf.FlowRewrite == 0 {
		return "belongs to a flow, " + direction + ", and goes on as it is"
	}
	return fmt.Sprintf("belongs to a flow, %s, and goes on as %s", direction, tupleText(*out))
}

// tupleText is who sends to whom.
func tupleText(e Event) string {
	side := func(a netip.Addr, port uint16) string {
		if port == 0 || !a.IsValid() {
			return a.String()
		}
		return netip.AddrPortFrom(a, port).String()
	}
	return side(e.Source, e.SourcePort) + " > " + side(e.Destination, e.DestinationPort)
}

// Headline is what a person is told of a packet first.
func (e Event) Headline() string {
	parts := []string{e.At.Format("15:04:05.000000"), e.Packet}
	if e.Protocol != "" {
		parts = append(parts, e.Protocol)
	}
	parts = append(parts, tupleText(e))
	if len(e.TCP) > 0 {
		parts = append(parts, strings.Join(e.TCP, ","))
	}
	return strings.Join(append(parts, fmt.Sprintf("%d bytes", e.Bytes)), " ")
}

func (d *Describer) device(ifindex uint32) string {
	return cmp.Or(d.r.names[ifindex], fmt.Sprintf("interface %d", ifindex))
}

func (d *Describer) endpoint(ifindex uint32) string {
	e, ok, err := d.r.maps.Endpoints.Lookup(ifindex)
	switch {
	case err != nil || !ok:
		return d.device(ifindex)
	case bpf.FormatID(e.Service) == "":
		return "the host"
	}
	return fmt.Sprintf("instance %s.%d on %s", bpf.FormatID(e.Service), e.Number, d.device(ifindex))
}

func (d *Describer) worker(peer uint32) string {
	p, _, err := d.r.maps.Peers.Lookup(peer)
	if id := bpf.FormatID(p.Id); err == nil && id != "" {
		return "worker " + id
	}
	return fmt.Sprintf("peer %d", peer)
}

func (d *Describer) service(index uint32) string {
	s, _, err := d.r.maps.Services.Lookup(index)
	if id := bpf.FormatID(s.Id); err == nil && id != "" {
		return id
	}
	return fmt.Sprintf("#%d", index)
}

func (d *Describer) backend(index uint32) string {
	b, _, err := d.r.maps.Backends.Lookup(index)
	if err != nil || b.Generation == 0 {
		return fmt.Sprintf("backend %d", index)
	}
	where := "this worker"
	if b.Peer != 0 {
		where = d.worker(b.Peer)
	}
	return fmt.Sprintf("instance %s.%d on %s", d.service(b.Service), b.Number, where)
}

// ProtocolNumber reads a protocol that can be traced.
func ProtocolNumber(name string) (uint8, bool) {
	n, ok := map[string]uint8{
		"": 0, "tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP, "icmp6": unix.IPPROTO_ICMPV6,
	}[name]
	return n, ok
}
