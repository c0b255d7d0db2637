// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func (p *program) execCommand() *cobra.Command {
	var input, terminal bool
	cmd := &cobra.Command{
		Use: "exec [-i] [-t] SERVICE[.N] -- COMMAND [ARGUMENT…]", Short: "Run a command in an instance", Args: cmdline.Args(1, -1),
		Long: `Run a command in an instance, as its own user and within its limits, and exit with the command's exit code.
For a shell: oak exec -it SERVICE.N -- sh
The number may be left out if the service has one instance.`,
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.Flags().BoolVarP(&input, "stdin", "i", false, "pass standard input on")
	cmd.Flags().BoolVarP(&terminal, "tty", "t", false, "give the command a terminal")
	cmd.Flags().SetInterspersed(false) // what follows the service is the command's
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		if len(args) > 1 && args[1] == "--" {
			args = append(args[:1:1], args[2:]...)
		}
		if len(args) < 2 {
			return cmdline.Usagef("name the command: oak exec %s -- COMMAND", args[0])
		}
		s, number, err := findInstance(ctx, c, args[0])
		if err != nil {
			return err
		}
		if number == client.AllInstances {
			all := staying(*s)
			if len(all) != 1 {
				return cmdline.Usagef("%s has %d instances: name one, as %s.N", jobName(*s), len(all), args[0])
			}
			number = all[0].Number
		}
		o := client.ExecOptions{Command: args[1:], TTY: terminal, Stdout: p.Out, Stderr: p.Err}
		if input {
			o.Stdin = p.In
		}
		restore, err := p.prepareTerminal(ctx, &o)
		if err != nil {
			return err
		}
		code, err := c.Exec(ctx, s.ID, number, o)
		restore()
		if err != nil {
			return fmt.Errorf("run a command in %s.%d: %w", jobName(*s), number, err)
		}
		if code != 0 {
			return &exitError{code}
		}
		return nil
	})
	return cmd
}

// exitError is a command's own exit code, of which nothing is to be said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.code) }

// prepareTerminal hands the user's terminal to the command: keys go as they are, and its size with them. restore gives it back.
func (p *program) prepareTerminal(ctx context.Context, o *client.ExecOptions) (restore func(), err error) {
	restore = func() {}
	if !o.TTY {
		return restore, nil
	}
	o.Size = wire.TerminalSize{Columns: 80, Rows: 24}
	if out, ok := p.Out.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		if w, h, err := term.GetSize(int(out.Fd())); err == nil {
			o.Size = sizeOf(w, h)
		}
		sizes := make(chan wire.TerminalSize)
		o.Resize = sizes
		changed := make(chan os.Signal, 1)
		signal.Notify(changed, syscall.SIGWINCH)
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-changed:
				}
				if w, h, err := term.GetSize(int(out.Fd())); err == nil {
					select {
					case sizes <- sizeOf(w, h):
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	in, ok := p.In.(*os.File)
	if o.Stdin == nil || !ok || !term.IsTerminal(int(in.Fd())) {
		return restore, nil
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return restore, fmt.Errorf("prepare the terminal: %w", err)
	}
	return func() { _ = term.Restore(int(in.Fd()), old) }, nil
}

func sizeOf(w, h int) wire.TerminalSize {
	return wire.TerminalSize{Columns: uint16(min(max(w, 0), 1<<16-1)), Rows: uint16(min(max(h, 0), 1<<16-1))}
}
