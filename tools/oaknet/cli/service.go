// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) serviceCommand() *cobra.Command {
	type row = inspect.Service
	return listing[row]{
		name: "service", short: "List services: their addresses and how many instances they have",
		long: `Lists the services that this worker has routes for. BACKENDS is usable/all: an instance is usable if it is on this worker or
its worker was met and answers. CURSOR counts round robin's choices.`,
		columns: []output.Column[row]{
			{Name: "INDEX", Value: func(s row) string { return number(s.Index) }},
			{Name: "SERVICE", Value: func(s row) string { return s.ServiceID }},
			{Name: "ADDRESSES", Value: serviceAddresses},
			{Name: "BACKENDS", Value: func(s row) string { return fmt.Sprintf("%d/%d", s.UsableBackends, s.Backends) }},
			{Name: "CURSOR", Value: func(s row) string { return number(s.Cursor) }},
		},
		read: (*inspect.Reader).Services,
		keys: func(s row) []string {
			keys := []string{s.ServiceID, number(s.Index)}
			for _, a := range s.Addresses {
				keys = append(keys, a.Address.String())
			}
			return keys
		},
	}.command(p)
}

func serviceAddresses(s inspect.Service) string {
	var out []string
	for _, a := range s.Addresses {
		out = append(out, fmt.Sprintf("%s(%s)", a.Address, a.Policy))
	}
	return strings.Join(out, ",")
}
