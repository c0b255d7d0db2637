// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
)

func (p *program) loginCommand() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Log in to root and keep the token",
		Long: `Log in to root. Address, name and token are kept in the configuration file, readable by you alone; the password is not.

The password is taken from standard input with --password-stdin, else from OAK_PASSWORD, else asked for on the terminal.`,
		Example: "  oak login --url http://127.0.0.1:10000 --username Admin --password-stdin < password-file",
		Args:    cmdline.Args(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.login(cmd, fromStdin) },
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (p *program) login(cmd *cobra.Command, fromStdin bool) error {
	c, path, err := p.load()
	if err != nil {
		return err
	}
	if c.Username == "" {
		return cmdline.Usagef("who to log in as is not known: give --username or OAK_USERNAME")
	}
	password, err := p.password(fromStdin, c.Username)
	if err != nil {
		return err
	}
	c.Token, c.RefreshToken = "", ""
	cl, err := p.connect(c, func(token, refresh string) { c.Token, c.RefreshToken = token, refresh })
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.Login(cmd.Context(), c.Username, password, c.Organization); err != nil {
		return fmt.Errorf("log in as %s at %s: %w", c.Username, c.URL, err)
	}
	if err := c.Save(path); err != nil {
		return err
	}
	p.note("logged in at %s as %s", c.URL, c.Username)
	return nil
}

// password takes the password from where the user has put it.
func (p *program) password(fromStdin bool, username string) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(p.In, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password from standard input: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", cmdline.Usagef("standard input holds no password")
		}
		return line, nil
	}
	if password := p.Getenv(envPassword); password != "" {
		return password, nil
	}
	file, ok := p.In.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", cmdline.Usagef("no terminal to ask for the password: use --password-stdin or OAK_PASSWORD")
	}
	_, _ = fmt.Fprintf(p.Err, "Password of %s: ", username)
	password, err := term.ReadPassword(int(file.Fd()))
	_, _ = fmt.Fprintln(p.Err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(password), nil
}

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Aliases: []string{"c"}, Short: "Look at and change oak's configuration"}
	show := &cobra.Command{
		Use: "show", Short: "Show the configuration, with tokens hidden, and where it is kept", Args: cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, path, err := p.load()
			if err != nil {
				return err
			}
			return p.showConfig(c, path)
		},
	}
	set := &cobra.Command{
		Use: "set KEY VALUE", Short: "Set one key; an empty value unsets it", Args: cmdline.Args(2, 2),
		Long:      "Set one key of the configuration. Keys: " + strings.Join(config.Keys(), ", ") + ".",
		ValidArgs: config.Keys(),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := p.configFile()
			if err != nil {
				return err
			}
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			if err := c.Set(args[0], args[1]); err != nil {
				return err
			}
			return c.Save(path)
		},
	}
	reset := &cobra.Command{
		Use: "reset", Short: "Remove the configuration, tokens included", Args: cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			path, err := p.configFile()
			if err != nil {
				return err
			}
			return config.Reset(path)
		},
	}
	cmd.AddCommand(show, set, reset)
	cmdline.Group(cmd)
	return cmd
}
