// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) routeCommand() *cobra.Command {
	type row = inspect.Route
	return listing[row]{
		name: "route", short: "List overlay addresses and what is done with packets to or from them",
		long: `Lists the overlay addresses that this worker knows. KIND is
  service    address of a service: POLICY chooses an instance for each flow; USABLE is how many of them can be chosen
  instance   Instance IP that flows from here are opened to
  refused    nobody has it: remembered for some seconds
  held       NetManager is asking for it, and first packets wait
  local      namespace address of an instance on this worker
  source     Instance IP of a caller on another worker: packets with it are taken from there alone`,
		columns: []output.Column[row]{
			{Name: "ADDRESS", Value: func(r row) string { return text(r.Address) }},
			{Name: "KIND", Value: func(r row) string { return r.Kind }},
			{Name: "POLICY", Value: func(r row) string { return r.Policy }},
			{Name: "SERVICE", Value: func(r row) string { return r.ServiceID }},
			{Name: "NUMBER", Value: func(r row) string {
				if r.Number == nil {
					return ""
				}
				return number(*r.Number)
			}},
			{Name: "WHERE", Value: func(r row) string {
				if r.Local {
					return "local"
				}
				return identity(r.WorkerID, r.Peer)
			}},
			{Name: "USABLE", Value: func(r row) string {
				if r.Policy == "" {
					return ""
				}
				return fmt.Sprintf("%d/%d", r.UsableBackends, r.Backends)
			}},
			{Name: "GENERATION", Wide: true, Value: func(r row) string { return r.Generation }},
			{Name: "INTERFACE", Wide: true, Value: func(r row) string { return device(r.Interface, r.Ifindex) }},
			{Name: "WAITING", Wide: true, Value: func(r row) string { return number(r.Waiting) }},
		},
		read: (*inspect.Reader).Routes,
		keys: func(r row) []string { return []string{r.ServiceID, r.WorkerID, text(r.Address), r.Kind, r.Policy} },
	}.command(p)
}
