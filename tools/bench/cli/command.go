// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
)

// Command returns the command; out gets its results, progress what it is doing.
func Command(version string, out, progress io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "oak-bench",
		Short: "Measure the dataplane side by side with its alternatives",
		Long: `Builds workers as network namespaces in each way that is compared, lets traffic pass between containers on them in short
turns, and compares the processor time that a unit of work took. It needs root.`,
	}
	root.AddCommand(runCommand(version, out, progress), quickCommand(out, progress), programsCommand(out, progress), downCommand(), cmdline.VersionCommand(version))
	root.AddCommand(endCommands(out)...)
	cmdline.Group(root)
	cmdline.Program{Prefix: "OAK_BENCH_"}.Adopt(root)
	return root
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Remove what a run has left that was killed", Args: cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error { return lab.Clear() },
	}
}

// endCommands are the ends of a connection, which a run starts by itself.
func endCommands(out io.Writer) []*cobra.Command {
	hidden := func(use string, f func(in io.Reader) error) *cobra.Command {
		return &cobra.Command{Use: use, Hidden: true, Args: cmdline.Args(0, 0), RunE: func(cmd *cobra.Command, _ []string) error { return f(cmd.InOrStdin()) }}
	}
	return []*cobra.Command{
		hidden("serve", func(in io.Reader) error {
			var s load.Server
			if err := json.NewDecoder(in).Decode(&s); err != nil {
				return fmt.Errorf("read what to serve: %w", err)
			}
			return load.Serve(s, out)
		}),
		hidden("measure", func(in io.Reader) error {
			var c load.Client
			if err := json.NewDecoder(in).Decode(&c); err != nil {
				return fmt.Errorf("read what to measure: %w", err)
			}
			r, err := load.Measure(c)
			if err != nil {
				return err
			}
			return json.NewEncoder(out).Encode(r)
		}),
		hidden("spin", func(io.Reader) error {
			load.Spin()
			return nil
		}),
	}
}
