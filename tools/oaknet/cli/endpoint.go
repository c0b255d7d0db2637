// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) endpointCommand() *cobra.Command {
	type row = inspect.Endpoint
	return listing[row]{
		name: "endpoint", short: "List the instances that are attached here",
		long: `Lists the instances on this worker that are attached to the overlay, and the worker's own host, which calls services like them.`,
		columns: []output.Column[row]{
			{Name: "IFINDEX", Value: func(e row) string { return number(e.Ifindex) }},
			{Name: "INTERFACE", Value: func(e row) string { return e.Interface }},
			{Name: "SERVICE", Value: func(e row) string {
				if e.Host {
					return "(host)"
				}
				return e.ServiceID
			}},
			{Name: "NUMBER", Value: func(e row) string { return number(e.Number) }},
			{Name: "GENERATION", Value: func(e row) string { return e.Generation }},
			{Name: "NAMESPACE-IP", Value: func(e row) string { return addresses(e.NamespaceIP, e.NamespaceIPv6) }},
			{Name: "INSTANCE-IP", Value: func(e row) string { return addresses(e.InstanceIP, e.InstanceIPv6) }},
			{Name: "TAG", Value: func(e row) string { return number(e.Tag) }},
			{Name: "PORTS", Value: func(e row) string { return strings.Join(e.Ports, " ") }},
			{Name: "ATTACHED", Value: func(e row) string { return yes(e.Attached) }},
			{Name: "MAC", Wide: true, Value: func(e row) string { return e.MAC }},
			{Name: "HOST-MAC", Wide: true, Value: func(e row) string { return e.HostMAC }},
		},
		read: (*inspect.Reader).Endpoints,
		keys: func(e row) []string {
			return []string{
				e.ServiceID, fmt.Sprintf("%s.%d", e.ServiceID, e.Number), number(e.Ifindex), e.Interface,
				text(e.NamespaceIP), text(e.InstanceIP), text(e.NamespaceIPv6), text(e.InstanceIPv6),
			}
		},
	}.command(p)
}
