// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/nodeengine/localapi"
)

func statusCommand(o *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show this worker's instances and how it is connected",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return cmdline.Usagef("flag --output: %q is none of table, json", output)
			}
			s, err := localapi.Get(cmd.Context(), localapi.Socket(o.runDir))
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s, time.Now())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printStatus(out io.Writer, s localapi.Status, now time.Time) error {
	yes := map[bool]string{true: "connected", false: "not connected"}
	overlay := "ready"
	if !s.Overlay {
		overlay = "not ready: " + s.OverlayReason
	}
	desired := s.Applied.String()
	if s.Refused != "" {
		desired += ", a newer one is refused: " + s.Refused
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "worker\t%s (%s)\ncluster\t%s, %s\noverlay\t%s\ndesired state\t%s\nversion\t%s\n\n", s.Name, s.WorkerID, s.Cluster, yes[s.Connected],
		overlay, desired, s.Version)
	fmt.Fprintln(w, "INSTANCE\tGENERATION\tSTATE\tREADY\tFOR\tRESTARTS\tCPU %\tMEMORY MiB\tDETAIL")
	for _, i := range s.Instances {
		detail := i.Detail
		if i.Unclaimed {
			detail = "unclaimed: no list of the cluster mentions it; " + detail
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%.1f\t%.1f\t%s\n", i.InstanceKey, i.Generation, i.State, ready(i.Ready), now.Sub(i.Since).Round(time.Second), i.Restarts,
			i.CPUPercent, float64(i.MemoryBytes)/(1<<20), detail)
	}
	return w.Flush()
}

// ready is the verdict of a readiness probe; "-" without one.
func ready(verdict *bool) string {
	switch {
	case verdict == nil:
		return "-"
	case *verdict:
		return "yes"
	}
	return "no"
}
