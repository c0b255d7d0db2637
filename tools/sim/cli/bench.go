// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/sim/measure"
)

func benchCommand(version string, out, progress io.Writer) *cobra.Command {
	o := measure.Options{Say: sayTo(progress), Version: cmdline.Version(version)}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the control plane, or go on with a run that was broken off", Args: cmdline.Args(0, 0),
		Long: `Starts a root, a cluster and a Postgres of their own for each part, has hollow workers join, and measures. A part that was measured with
the same programs is not measured again. It fails if a figure is not what it has to be.

Parts: ` + strings.Join(measure.Parts(), ", ") + ".",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Workers < 1 || o.Stable < time.Second {
				return cmdline.Usagef("flags --workers and --stable: at least one worker, and a second, are needed")
			}
			err := measure.Run(cmd.Context(), o, out)
			if errors.Is(err, measure.ErrPart) {
				return cmdline.Usagef("flag --only: %w", err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bin, "bin", "bin", "folder of the programs")
	f.StringVar(&o.State, "state-dir", filepath.Join("dist", "bench-control"), "folder of the finished parts and of the report")
	f.StringSliceVar(&o.Only, "only", nil, "parts to keep to")
	f.IntVar(&o.Workers, "workers", 1000, "hollow workers of the crowd")
	f.DurationVar(&o.Stable, "stable", 10*time.Minute, "how long the crowd has to stand")
	f.Uint64Var(&o.Seed, "seed", 1, "decides what is left to chance")
	return cmd
}
