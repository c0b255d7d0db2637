// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/install"
)

// role is what a machine can be.
type role struct {
	name, is              string
	root, cluster, worker bool
}

func roles() []role {
	return []role{
		{"root", "the root of an installation", true, false, false},
		{"cluster", "a cluster of a root that is elsewhere", false, true, false},
		{"worker", "a worker of a cluster that is elsewhere", false, false, true},
		{"full", "root, cluster and worker at once", true, true, true},
	}
}

func (p *program) installCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "install", Short: "Make this machine a root, a cluster, a worker, or all of them",
		Long: "Installs the programs that lie beside oak, with their units and configuration, and starts them. It needs root and no network, and may be\n" +
			"called again: what is there stays, and what the flags name is changed. Root and cluster keep what they know in this machine's Postgres, in\n" +
			"databases that are made, or in the one that --database names.",
	}
	for _, r := range roles() {
		cmd.AddCommand(p.installRole(r))
	}
	cmdline.Group(cmd)
	return cmd
}

func (p *program) installRole(r role) *cobra.Command {
	o := install.Options{Root: r.root, Cluster: r.cluster, Worker: r.worker}
	cmd := &cobra.Command{Use: r.name, Short: "Make this machine " + r.is, Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = p.Out
			return install.Install(cmd.Context(), o)
		}}
	f := cmd.Flags()
	f.StringVar(&o.From, "from", "", "folder with the programs (default: the one that oak is in)")
	f.BoolVar(&o.NoStart, "no-start", false, "start nothing, and say how to")
	f.BoolVar(&o.DryRun, "dry-run", false, "do nothing, and print each step")
	if r.root {
		f.StringSliceVar(&o.RootNames, "root-name", nil, "DNS name or address by which others reach this root, for its certificate; several times, or separated by commas")
	}
	if r.cluster {
		f.StringVar(&o.Name, "name", "", "what people call the cluster, unlike any other of its root")
		f.StringVar(&o.Location, "location", "", "where the cluster is: lat,lon[,radius] in degrees and metres, or text")
	}
	if r.root != r.cluster {
		f.StringVar(&o.Database, "database", "", "URL of a Postgres database, such as postgres://USER:PASSWORD@HOST/NAME (default: one in this machine's Postgres, which is made)")
	}
	if r.cluster && !r.root {
		f.StringVar(&o.RootURL, "root-url", "", "where the root is: https://HOST:PORT")
		f.StringVar(&o.ClusterToken, "token-file", "", "file with the token to join the root with")
	}
	if r.worker && !r.cluster {
		f.StringVar(&o.ClusterAddress, "cluster-address", "", "host of the cluster orchestrator")
		f.StringVar(&o.WorkerToken, "token-file", "", "file with the token to join the cluster with")
	}
	return cmd
}

func (p *program) uninstallCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Take a root, a cluster or a worker from this machine",
		Long: "Ends what runs, and removes it: programs, units, instances with their images, and all that is in the kernel. Databases, state folders and\n" +
			"configuration stay, unless --purge is given.",
	}
	for _, r := range roles() {
		cmd.AddCommand(p.uninstallRole(r))
	}
	cmdline.Group(cmd)
	return cmd
}

func (p *program) uninstallRole(r role) *cobra.Command {
	o := install.Removal{Options: install.Options{Root: r.root, Cluster: r.cluster, Worker: r.worker}}
	var yes bool
	cmd := &cobra.Command{Use: r.name, Short: "This machine is no longer " + r.is, Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = p.Out
			if o.Purge && !o.DryRun && !yes {
				if err := p.ask("This removes databases, state and configuration of this machine's " + r.name + " for ever."); err != nil {
					return err
				}
			}
			return install.Uninstall(cmd.Context(), o)
		}}
	addRemoval(cmd.Flags(), &o, &yes)
	return cmd
}

func addRemoval(f *pflag.FlagSet, o *install.Removal, yes *bool) {
	f.BoolVar(&o.Purge, "purge", false, "remove databases, state folders, configuration and users too; asks before")
	f.BoolVarP(yes, "yes", "y", false, "do not ask before a purge")
	f.BoolVar(&o.DryRun, "dry-run", false, "do nothing, and print each step")
}

// ask has a person agree. Where nobody can be asked, it refuses.
func (p *program) ask(what string) error {
	if f, ok := p.In.(interface{ Fd() uintptr }); !ok || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor
		return cmdline.Usagef("%s There is nobody to ask whether that is meant: say so with --yes", what)
	}
	_, _ = fmt.Fprint(p.Err, what+" Type yes to go on: ")
	line, err := bufio.NewReader(p.In).ReadString('\n')
	if strings.TrimSpace(line) != "yes" {
		return cmdline.Usagef("not confirmed: nothing was done")
	}
	return err
}
