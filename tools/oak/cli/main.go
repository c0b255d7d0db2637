// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
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
	format                      output.Format
	requestTimeout              time.Duration
	// output is held while a line of one of several sources is written.
	output sync.Mutex
}

// Main runs oak and returns its exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	p := &program{Streams: s}
	cmd := p.command()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var command *exitError
	if errors.As(err, &command) {
		return command.code
	}
	if err != nil {
		_, _ = fmt.Fprintln(s.Err, "oak: "+explain(err))
	}
	return codeOf(err)
}

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
		PersistentPreRunE: func(*cobra.Command, []string) error { return p.check() },
	}
	p.environment().Adopt(root)
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
	p.format.AddFlag(root)
	flags.DurationVar(&p.requestTimeout, "request-timeout", 30*time.Second, "how long one request may take")
	root.AddCommand(p.loginCommand(), p.configCommand(), p.applicationCommand(), p.serviceCommand(), p.instanceCommand(), p.secretCommand(), p.clusterCommand(),
		p.workerCommand(), p.tokenCommand(), p.logsCommand(), p.execCommand(), p.eventsCommand(), p.doctorCommand(), p.installCommand(), p.uninstallCommand(), p.versionCommand())
	cmdline.Group(root)
	return root
}

// environment is where flags come from that the command line lacks.
func (p *program) environment() cmdline.Program {
	return cmdline.Program{Prefix: "OAK_", Getenv: p.Getenv, Extra: func() (manual.Extra, error) {
		return manual.Extra{Variables: []manual.Variable{{Name: envPassword, Meaning: "the password; with it and OAK_USERNAME no login is needed beforehand"}}}, nil
	}}
}

// check refuses flags that suit no command.
func (p *program) check() error {
	if p.requestTimeout <= 0 {
		return cmdline.Usagef("--request-timeout has to be more than 0")
	}
	return nil
}

// note writes a line for people, beside the output that scripts read.
func (p *program) note(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Err, format+"\n", args...)
}
