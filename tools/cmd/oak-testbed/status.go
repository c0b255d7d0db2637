// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func statusCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show hosts, addresses, processes, sockets and logs",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return cmdline.Usagef("output format %q: want table or json", format)
			}
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			s, err := t.Status()
			if err != nil {
				return err
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return table(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func table(w io.Writer, s testbed.Status) error {
	_, err := fmt.Fprintf(w, "API       %s  (%s / %s)\nregistry  %s\nlogs      %s\n", s.API.URL, s.API.Username, s.API.Password, s.Registry, s.Logs)
	if err != nil {
		return err
	}
	for _, f := range faults(s) {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "\nHOST\tADDRESS\tNETNS\tCOMPONENT\tPID\tSTATE\tSOCKET") // errors show at Flush
	rows := append([]testbed.HostStatus{{Host: testbed.Host{Name: testbed.Machine}, Components: s.Machine}}, s.Hosts...)
	for _, h := range rows {
		name, address, ns := h.Name, h.Address, h.NetNS
		for _, c := range h.Components {
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", name, address, ns, c.Name, c.PID, c.State, c.Socket)
			name, address, ns = "", "", ""
		}
		if len(h.Components) == 0 {
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t\t\t\t\n", name, address, ns)
		}
	}
	return tw.Flush()
}

// faults has a line for each fault of the network.
func faults(s testbed.Status) []string {
	var lines []string
	for _, c := range s.Cuts {
		switch {
		case c.B == "":
			lines = append(lines, fmt.Sprintf("cut       %s from everything", c.A))
		case c.OneWay:
			lines = append(lines, fmt.Sprintf("oneway    what %s sends to %s is lost", c.A, c.B))
		default:
			lines = append(lines, fmt.Sprintf("cut       %s from %s", c.A, c.B))
		}
	}
	for _, d := range s.Delays {
		lines = append(lines, fmt.Sprintf("delay     %s and %s, %d ms each way", d.A, d.B, d.Milliseconds))
	}
	return lines
}
