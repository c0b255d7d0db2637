// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

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
ACTIVE counts the flows of callers here, LOAD is what the instance reports.`,
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
			{Name: "LOAD", Value: func(b row) string { return fmt.Sprintf("%.1f%%", float64(b.Load)/10) }, By: func(b row) float64 { return float64(b.Load) }},
			{Name: "DISTANCE", Wide: true, Value: func(b row) string {
				if b.Distance == nil {
					return ""
				}
				return number(*b.Distance)
			}},
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
