// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// completion has a shell complete what list returns. Where the maps cannot be read there is nothing to offer.
func (p *program) completion(list func(*inspect.Reader) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if p.environment().Fill(cmd) != nil {
			return nil, none
		}
		r, err := p.open()
		if err != nil {
			return nil, none
		}
		defer func() { _ = r.Close() }()
		found, err := list(r)
		if err != nil {
			return nil, none
		}
		found = slices.DeleteFunc(found, func(s string) bool { return s == "" })
		slices.Sort(found)
		return slices.Compact(found), none
	}
}

// serviceKeys lists ids and addresses of services.
func serviceKeys(r *inspect.Reader) ([]string, error) {
	services, err := r.Services()
	var out []string
	for _, s := range services {
		out = append(out, s.ServiceID)
		for _, a := range s.Addresses {
			out = append(out, a.Address.String())
		}
	}
	return out, err
}

// nodeKeys lists other workers' ids.
func nodeKeys(r *inspect.Reader) ([]string, error) {
	nodes, err := r.Nodes()
	var out []string
	for _, n := range nodes {
		out = append(out, n.WorkerID)
	}
	return out, err
}
