// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"math"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) nodeCommand() *cobra.Command {
	type row = inspect.Node
	return listing[row]{
		name: "node", short: "List the other workers and the traffic with them",
		long: `Lists the other workers that this one knows. STATE is greeting (known, never met: not chosen), up, or unreachable (it
leaves echoes unanswered, or NATs at both ends keep it from being met: not chosen for new flows), and REASON says why it is not up. TX is what was sent to a worker, RX what was accepted from it; HEARD is how long ago.
RTT is the round trip, smoothed, measured by TCP handshakes and echoes. MTU is what the tunnel to a worker carries for what the interfaces
at both ends do, PATH-MTU for what a router in between has said, LEARNED how long ago; it is forgotten after 10 minutes, or as
net.ipv4.route.mtu_expires says.`,
		columns: []output.Column[row]{
			{Name: "INDEX", Value: func(n row) string { return number(n.Index) }},
			{Name: "WORKER", Value: func(n row) string { return n.WorkerID }},
			{Name: "OUTER", Value: outer},
			{Name: "STATE", Value: func(n row) string { return n.State }},
			{Name: "TX-PACKETS", Value: func(n row) string { return number(n.TxPackets) }},
			{Name: "TX-BYTES", Value: func(n row) string { return number(n.TxBytes) }},
			{Name: "RX-PACKETS", Value: func(n row) string { return number(n.RxPackets) }},
			{Name: "RX-BYTES", Value: func(n row) string { return number(n.RxBytes) }},
			{Name: "HEARD", Value: func(n row) string { return ageOrNever(n.LastHeard) }, By: heard},
			{Name: "RTT", Value: func(n row) string { return milliseconds(n.RTT) }, By: func(n row) float64 { return orInfinite(n.RTT) }},
			{Name: "REASON", Value: func(n row) string { return n.Reason }},
			{Name: "LOCAL", Wide: true, Value: func(n row) string { return text(n.Local) }},
			{Name: "UPLINK", Wide: true, Value: func(n row) string { return device(n.Interface, n.Ifindex) }},
			{Name: "MTU", Wide: true, Value: func(n row) string { return number(n.MTU) }},
			{Name: "PATH-MTU", Wide: true, Value: pathMTU},
			{Name: "LEARNED", Wide: true, Value: learned, By: func(n row) float64 { return orInfinite(n.PathLearned) }},
			{Name: "NAT", Wide: true, Value: func(n row) string { return yes(n.NAT) }},
			{Name: "SOURCES", Wide: true, Value: func(n row) string { return number(n.Sources) }},
		},
		read: (*inspect.Reader).Nodes,
		keys: func(n row) []string { return []string{n.WorkerID, number(n.Index), text(n.Outer), outer(n)} },
	}.command(p)
}

func pathMTU(n inspect.Node) string {
	if n.PathMTU == 0 {
		return ""
	}
	return number(n.PathMTU)
}

func learned(n inspect.Node) string {
	if n.PathMTU == 0 {
		return ""
	}
	return ageOrNever(n.PathLearned)
}

func outer(n inspect.Node) string {
	if !n.Outer.IsValid() {
		return ""
	}
	return netip.AddrPortFrom(n.Outer, n.Port).String()
}

// heard orders by how long ago that was; never is longest ago.
func heard(n inspect.Node) float64 { return orInfinite(n.LastHeard) }

func orInfinite(v *float64) float64 {
	if v == nil {
		return math.Inf(1)
	}
	return *v
}
