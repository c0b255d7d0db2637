// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Manage the tokens by which clusters join"}
	cmd.AddCommand(p.tokenCreate(), p.tokenList(), p.tokenRevoke())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) tokenCreate() *cobra.Command {
	var ttl time.Duration
	var uses int
	cmd := &cobra.Command{
		Use: "create", Aliases: []string{"c"}, Short: "Create a token to join with and print it, alone, on standard output", Args: cmdline.Args(0, 0),
		RunE: p.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			if ttl < time.Second {
				return cmdline.Usagef("--ttl has to be a second or more")
			}
			t, err := c.CreateToken(ctx, ttl, uses)
			if err != nil {
				return fmt.Errorf("create token: %w", err)
			}
			if p.format.Data() {
				return output.Value(p.Out, p.format, t)
			}
			_, err = fmt.Fprintln(p.Out, t.Token)
			return err
		}),
	}
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	cmd.Flags().IntVar(&uses, "uses", 1, "how often the token can be used")
	return cmd
}

func (p *program) tokenList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls", "l"}, Short: "List tokens, without their values", Args: cmdline.Args(0, 0)}
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		list, err := c.Tokens(ctx)
		if err != nil {
			return fmt.Errorf("list tokens: %w", err)
		}
		return output.List(w, p.Err, p.format, list, []output.Column[client.Token]{
			{Name: "ID", Value: func(t client.Token) string { return t.ID }},
			{Name: "ROLE", Value: func(t client.Token) string { return t.Role }},
			{Name: "USES LEFT", Value: func(t client.Token) string { return strconv.Itoa(t.UsesLeft) }},
			{Name: "EXPIRES", Value: func(t client.Token) string {
				if t.Expired {
					return "expired"
				}
				return when(t.ExpiresAt)
			}},
			{Name: "CREATED", Wide: true, Value: func(t client.Token) string { return when(t.CreatedAt) }},
			{Name: "AUDIENCE", Wide: true, Value: func(t client.Token) string { return t.Audience }},
		})
	}, p)
	return cmd
}

func (p *program) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Aliases: []string{"delete", "rm"}, Short: "Have nobody join with a token from now on", Args: cmdline.Args(1, 1),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.RevokeToken(ctx, args[0]); err != nil {
				return fmt.Errorf("revoke token %s: %w", args[0], err)
			}
			p.note("token %s revoked", args[0])
			return nil
		}),
	}
}
