// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) backendCommand() *cobra.Command {
	type row = inspect.Backend
	return listing[row]{
		name: "backend", short: "List the instances that flows from here can be given to",
		long: `Lists the instances that flows which begin on this worker can be given to, wherever they run. One that is not LISTED by its
service is kept for the flows that it already has; one that is not USABLE runs on a worker that was never met or does not answer.
Underutilized goes by ACTIVE, the flows of callers here, or LATELY, those that it has given out in the last second or two, whichever is more,
weighted with the LOAD that the instance reports; closest by the round trip (RTT) to its worker, and the DISTANCE while none was measured.
What is shown as - is not known, and counts as the most.`,
		columns: []output.Column[row]{
			{Name: "INDEX", Value: func(b row) string { return number(b.Index) }},
			{Name: "SERVICE", Value: func(b row) string { return b.ServiceID }},
			{Name: "NUMBER", Value: func(b row) string { return number(b.Number) }},
			{Name: "GENERATION", Value: func(b row) string { return b.Generation }},
			{Name: "NAMESPACE-IP", Value: func(b row) string { return addresses(b.NamespaceIP, b.NamespaceIPv6) }},
			{Name: "INSTANCE-IP", Value: func(b row) string { return addresses(b.InstanceIP, b.InstanceIPv6) }},
			{Name: "WHERE", Value: where},
			{Name: "TAG", Value: func(b row) string { return number(b.Tag) }},
			{Name: "USABLE", Value: func(b row) string { return yes(b.Usable) }},
			{Name: "ACTIVE", Value: func(b row) string { return number(b.Active) }},
			{Name: "LOAD", Value: func(b row) string { return percentOfLoad(b.Load) }, By: func(b row) float64 { return orMost(b.Load) }},
			{Name: "RTT", Value: func(b row) string { return milliseconds(b.RoundTrip) }, By: func(b row) float64 { return orMost(b.RoundTrip) }},
			{Name: "DISTANCE", Value: func(b row) string { return kilometres(b.Distance) }, By: func(b row) float64 { return orMost(b.Distance) }},
			{Name: "LATELY", Wide: true, Value: func(b row) string { return number(b.Lately) }},
			{Name: "LISTED", Wide: true, Value: func(b row) string { return yes(b.Listed) }},
			{Name: "PEER", Wide: true, Value: func(b row) string { return index(b.Peer) }},
			{Name: "IFINDEX", Wide: true, Value: func(b row) string { return index(b.Ifindex) }},
		},
		read: (*inspect.Reader).Backends,
		keys: func(b row) []string {
			return []string{
				b.ServiceID, b.WorkerID, number(b.Index), fmt.Sprintf("%s.%d", b.ServiceID, b.Number),
				text(b.NamespaceIP), text(b.InstanceIP), text(b.NamespaceIPv6), text(b.InstanceIPv6),
			}
		},
	}.command(p)
}

func where(b inspect.Backend) string {
	if b.Local {
		return "local"
	}
	return identity(b.WorkerID, b.Peer)
}

// percentOfLoad writes a load of 1000; what is not known is empty.
func percentOfLoad(load *uint16) string {
	if load == nil {
		return ""
	}
	return fmt.Sprintf("%.1f%%", float64(*load)/10)
}

func kilometres(distance *uint16) string {
	if distance == nil {
		return ""
	}
	return number(*distance) + " km"
}

// orMost sorts what is not known last.
func orMost[N uint16 | float64](n *N) float64 {
	if n == nil {
		return math.Inf(1)
	}
	return float64(*n)
}
