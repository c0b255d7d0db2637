// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// watchEvery is how often a watched list is read anew.
const watchEvery = 2 * time.Second

// watched makes a command print a list, and with --watch print it again whenever it has changed, until interrupted.
func watched(cmd *cobra.Command, print func(context.Context, io.Writer) error, p *program) {
	var watch bool
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print again on every change, until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !watch {
			return print(cmd.Context(), p.Out)
		}
		return p.watch(cmd.Context(), print)
	}
}

func (p *program) watch(ctx context.Context, print func(context.Context, io.Writer) error) error {
	file, ok := p.Out.(*os.File)
	clear := ok && term.IsTerminal(int(file.Fd()))
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var last []byte
	for first := true; ; first = false {
		var now bytes.Buffer
		if err := print(ctx, &now); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if first || !bytes.Equal(last, now.Bytes()) {
			if clear {
				_, _ = io.WriteString(p.Out, "\x1b[H\x1b[2J")
			}
			if _, err := p.Out.Write(now.Bytes()); err != nil {
				return err
			}
			last = bytes.Clone(now.Bytes())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
