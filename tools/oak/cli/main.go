// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

// Streams are where a run of oak reads and writes, and its environment.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// Version is oak's own version; empty for what the build information says.
	Version string
}

// program is one run of oak: the flags that all commands share.
type program struct {
	Streams
	url, username, organization string
	caFile, caHash              string
	configPath                  string
	format                      string
	requestTimeout              time.Duration
}

// Main runs oak and returns its exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	p := &program{Streams: s}
	cmd := p.command()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(s.Err, "oak: "+explain(err))
	}
	return codeOf(err)
}

// Command returns oak's whole command tree, for the generation of its reference.
func Command() *cobra.Command { return (&program{}).command() }

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "oak",
		Short: "Deploy to an Oakestra and look at what it runs",
		Long: `oak talks to the REST API of Oakestra's root orchestrator.

Start with:
  oak login --url https://ROOT:10000 --username Admin
  oak application create default --deploy --wait
  oak service list

Every flag can be given as an environment variable too: OAK_ and its name in capitals, with _ for -; a flag on the
command line wins. The password is read from OAK_PASSWORD; with it and OAK_USERNAME no login is needed beforehand.

` + exitCodes,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return p.prepare(cmd) },
	}
	if p.Out != nil {
		root.SetIn(p.In)
		root.SetOut(p.Out)
		root.SetErr(p.Err)
	}
	flags := root.PersistentFlags()
	flags.StringVar(&p.url, "url", "", "root's address, such as https://root.example.org:10000")
	flags.StringVar(&p.username, "username", "", "who to log in as")
	flags.StringVar(&p.organization, "organization", "", "organisation to log in to")
	flags.StringVar(&p.caFile, "ca-file", "", "PEM file with the authority that signed root's certificate")
	flags.StringVar(&p.caHash, "ca-hash", "", "SHA-256 of the certificate of root's authority, in hexadecimal")
	flags.StringVar(&p.configPath, "config", "", "configuration file (default oak/config.json in the user's config folder)")
	flags.StringVarP(&p.format, "output", "o", string(output.Plain), "output format: table, wide, json or yaml")
	flags.DurationVar(&p.requestTimeout, "request-timeout", 30*time.Second, "how long one request may take")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w: see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(p.loginCommand(), p.configCommand(), p.applicationCommand(), p.serviceCommand(), p.clusterCommand(),
		p.workerCommand(), p.versionCommand())
	group(root)
	return root
}

// prepare reads the environment into the flags that the command line does not set, before any command runs.
func (p *program) prepare(cmd *cobra.Command) error {
	if err := fromEnvironment(cmd, p.Getenv); err != nil {
		return err
	}
	if _, err := output.Parse(p.format); err != nil {
		return usagef("%w", err)
	}
	if p.requestTimeout <= 0 {
		return usagef("--request-timeout has to be more than 0")
	}
	return nil
}

// outputFormat is the checked format.
func (p *program) outputFormat() output.Format { return output.Format(p.format) }

// note writes a line for people, beside the output that scripts read.
func (p *program) note(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Err, format+"\n", args...)
}

// must is for calls that fail only on a mistake in this package, which every test that builds the commands would show.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
