// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// Environment is what a run of oak-net takes from its surroundings.
type Environment struct {
	Out, Err io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// Clock tells the time that all ages are reckoned from.
	Clock func() (inspect.Clock, error)
	// Version is that of the build.
	Version string
}

// program is one run of oak-net: the flags that all commands share.
type program struct {
	Environment
	bpffs, worker string
	format        output.Format
	noHeaders     bool
}

// Main runs oak-net and returns its exit code.
func Main(ctx context.Context, args []string, e Environment) int {
	p := &program{Environment: e}
	cmd := p.command()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(e.Err, "oak-net: "+explain(err))
	}
	return codeOf(err)
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "oak-net",
		Short: "Show what a worker's datapath holds",
		Long: `oak-net shows what a worker's datapath holds, read from its pinned BPF maps alone: it works with NetManager dead and the
cluster away. It changes nothing but by "flush".

Start with:
  oak-net status
  oak-net service
  oak-net flow --proto tcp

"list" is what a listing does by itself; "show" takes what is to be shown: an id or its beginning, an address, an instance
number's SERVICE.NUMBER, an interface or an index. Interfaces are named where they are in the same network namespace as oak-net;
their numbers are always those of the worker's.

Every flag can be given as an environment variable too: OAK_NET_ and its name in capitals, with _ for -; a flag on the command
line wins.

` + exitCodes,
	}
	p.environment().Adopt(root)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	flags := root.PersistentFlags()
	flags.StringVar(&p.bpffs, "bpffs", pins.DefaultBPFFS, "mount point of the BPF file system, as given to NetManager")
	flags.StringVar(&p.worker, "worker", "", "name of the worker; the only one here if left out")
	p.format.AddFlag(root)
	flags.BoolVar(&p.noHeaders, "no-headers", false, "leave the names of columns out of tables")
	must(root.RegisterFlagCompletionFunc("worker", p.completeWorkers))
	root.AddCommand(p.statusCommand(), p.serviceCommand(), p.backendCommand(), p.endpointCommand(), p.nodeCommand(),
		p.routeCommand(), p.flowCommand(), p.dropCommand(), p.metricsCommand(), p.watchCommand(), p.checkCommand(), p.resolveCommand(), p.traceCommand(), p.flushCommand(), p.dumpCommand(), cmdline.VersionCommand(p.Version))
	cmdline.Group(root)
	return root
}

// environment is where flags come from that the command line lacks.
func (p *program) environment() cmdline.Program {
	return cmdline.Program{Prefix: "OAK_NET_", Getenv: p.Getenv}
}

// open opens the datapath that the flags name. The caller closes it.
func (p *program) open() (*inspect.Reader, error) {
	worker, err := pins.Find(p.bpffs, p.worker)
	if err != nil {
		return nil, err
	}
	clock, err := p.Clock()
	if err != nil {
		return nil, err
	}
	return inspect.Open(worker, clock)
}

func (p *program) completeWorkers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if p.environment().Fill(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := pins.Workers(p.bpffs)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// must is for calls that fail only on a mistake in this package, which every test that builds the commands would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
