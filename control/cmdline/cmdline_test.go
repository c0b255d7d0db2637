// SPDX-License-Identifier: Apache-2.0

package cmdline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// bench is a program with a subcommand and a flag of each kind.
type bench struct {
	root         *cobra.Command
	port         int
	place        string
	log          cmdline.Log
	ran          int
	out, errs    bytes.Buffer
	fail, before error
}

func newBench(env map[string]string) *bench {
	b := &bench{}
	b.root = &cobra.Command{Use: "prog", PersistentPreRunE: func(*cobra.Command, []string) error { return b.before }}
	do := &cobra.Command{Use: "do", Args: cmdline.Args(0, 1), RunE: func(cmd *cobra.Command, _ []string) error {
		b.ran++
		if _, err := b.log.Logger(&b.errs); err != nil {
			return err
		}
		return b.fail
	}}
	do.Flags().IntVar(&b.port, "tunnel-port", 1, "")
	b.root.PersistentFlags().StringVar(&b.place, "place", "here", "")
	b.log.AddFlags(b.root.PersistentFlags())
	b.root.AddCommand(do, cmdline.VersionCommand("v7"))
	cmdline.Group(b.root)
	cmdline.Program{Prefix: "P_", Getenv: func(name string) string { return env[name] }}.Adopt(b.root)
	b.root.SetOut(&b.out)
	b.root.SetErr(&b.errs)
	return b
}

func (b *bench) run(args ...string) int {
	b.root.SetArgs(args)
	return cmdline.Execute(context.Background(), b.root)
}

func TestFlagsComeFromTheEnvironmentToo(t *testing.T) {
	b := newBench(map[string]string{"P_TUNNEL_PORT": "4242", "P_PLACE": "there", "P_LOG_LEVEL": "", "P_HELP": "true"})
	require.Equal(t, cmdline.OK, b.run("do", "--place", "flag"), b.errs.String())
	require.Equal(t, 4242, b.port)
	require.Equal(t, "flag", b.place, "the command line wins")
	require.Equal(t, 1, b.ran, "P_HELP is no variable, and an empty P_LOG_LEVEL as good as none")
}

func TestUnfitVariablesAreAllNamed(t *testing.T) {
	b := newBench(map[string]string{"P_TUNNEL_PORT": "many"})
	require.Equal(t, cmdline.OK, b.run("version"), "it is no flag of this command")
	require.Equal(t, cmdline.Usage, b.run("do"))
	require.Contains(t, b.errs.String(), "prog: environment variable P_TUNNEL_PORT: ")
	require.Zero(t, b.ran)
}

func TestVariablesAreOfTheProcess(t *testing.T) {
	t.Setenv("Q_PLACE", "mars")
	place := ""
	root := &cobra.Command{Use: "q", RunE: func(*cobra.Command, []string) error { return nil }}
	root.Flags().StringVar(&place, "place", "", "")
	root.Args = cmdline.Args(0, 0)
	root.AddCommand(cmdline.VersionCommand(""))
	root.SetArgs([]string{})
	cmdline.Program{Prefix: "Q_"}.Adopt(root)
	require.Zero(t, cmdline.Execute(t.Context(), root))
	require.Equal(t, "mars", place)
	root.SetArgs([]string{"versio"})
	require.ErrorContains(t, root.Execute(), "unknown command \"versio\" for \"q\": did you mean version?")
}

func TestExitCodes(t *testing.T) {
	gone := fmt.Errorf("look: %w", cmdline.NotFoundf("no %s", "such thing"))
	for _, c := range []struct {
		name         string
		args         []string
		fail, before error
		code         int
		text         string
	}{
		{name: "fine", args: []string{"do"}},
		{name: "help", args: []string{}},
		{name: "failure", args: []string{"do"}, fail: errors.New("broken"), code: cmdline.Failed, text: "prog: broken\n"},
		{name: "not found", args: []string{"do"}, fail: gone, code: cmdline.NotFound, text: "prog: look: no such thing\n"},
		{name: "own code", args: []string{"do"}, fail: cmdline.WithCode(9, errors.New("odd")), code: 9, text: "prog: odd\n"},
		{name: "before", args: []string{"do"}, before: cmdline.Usagef("wrong"), code: cmdline.Usage, text: "prog: wrong\n"},
		{name: "flag", args: []string{"do", "--no"}, code: cmdline.Usage, text: "prog: unknown flag: --no: see `prog do --help`\n"},
		{name: "command", args: []string{"od"}, code: cmdline.Usage, text: "prog: unknown command \"od\" for \"prog\": did you mean do?: see `prog --help`\n"},
		{name: "arguments", args: []string{"do", "a", "b"}, code: cmdline.Usage, text: "prog: got 2 arguments: usage is `prog do [flags]`\n"},
		{name: "level", args: []string{"do", "--log-level", "loud"}, code: cmdline.Usage, text: "prog: flag --log-level: \"loud\" is none of debug, info, warn, error\n"},
		{name: "form", args: []string{"do", "--log-format", "xml"}, code: cmdline.Usage, text: "prog: flag --log-format: \"xml\" is none of text, json\n"},
	} {
		b := newBench(nil)
		b.fail, b.before = c.fail, c.before
		require.Equal(t, c.code, b.run(c.args...), c.name)
		require.Equal(t, c.text, b.errs.String(), c.name)
	}
	require.True(t, cmdline.HasCode(gone))
	require.False(t, cmdline.HasCode(errors.New("broken")))
}

func TestLogHasTheLevelAndTheForm(t *testing.T) {
	b := newBench(nil)
	require.Zero(t, b.run("do", "--log-level", "warn", "--log-format", "json"))
	log, err := b.log.Logger(&b.errs)
	require.NoError(t, err)
	log.Info("unheard")
	log.Warn("heard", "k", 1)
	require.Contains(t, b.errs.String(), `"msg":"heard","k":1}`)
	require.NotContains(t, b.errs.String(), "unheard")
}

func TestVersion(t *testing.T) {
	b := newBench(nil)
	require.Zero(t, b.run("version"))
	require.Equal(t, "prog v7\n", b.out.String())
	require.NotEmpty(t, cmdline.Version(""))
}

func TestSignalsEndTheContext(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		code := cmdline.UntilSignal(func(ctx context.Context) int {
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return 1
			}
			<-ctx.Done()
			return 5
		}, syscall.SIGHUP)
		require.Equal(t, 5, code, sig)
	}
}
