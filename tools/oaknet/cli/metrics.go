// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"

	"github.com/prometheus/common/expfmt"
	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) metricsCommand() *cobra.Command {
	again := &repeat{}
	cmd := &cobra.Command{
		Use: "metrics", Short: "Print the metrics of the maps as Prometheus reads them",
		Long: `Prints what NetManager's local API serves as metrics, as far as the maps tell it, with NetManager dead too. Those of NetManager
itself, such as the lag of routes, end with it. Tables are in Prometheus's text format; JSON and YAML list one sample after another.`,
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd, again, p.writeMetrics) },
	}
	again.addFlags(cmd.Flags())
	return cmd
}

func (p *program) writeMetrics(w io.Writer) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	families, err := r.Metrics()
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	if p.format.Data() {
		return output.Value(w, p.format, inspect.Samples(families))
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}
