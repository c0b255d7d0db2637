// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) secretCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Aliases: []string{"secrets"}, Short: "Entrust secrets to root, which descriptors name and only workers get"}
	cmd.AddCommand(p.secretList(), p.secretStore("create"), p.secretStore("update"), p.secretDelete())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) secretList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the secrets that you may use, never their values", Args: cmdline.Args(0, 0)}
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		list, err := c.Secrets(ctx)
		if err != nil {
			return fmt.Errorf("list secrets: %w", err)
		}
		return output.List(w, p.Err, p.format, list, []output.Column[client.Secret]{
			{Name: "NAME", Value: func(s client.Secret) string { return s.Name }},
			{Name: "TYPE", Value: func(s client.Secret) string { return s.Type }},
			{Name: "VERSION", Value: func(s client.Secret) string { return strconv.Itoa(s.Version) }},
			{Name: "UPDATED", Value: func(s client.Secret) string { return when(s.UpdatedAt) }},
			{Name: "SHARED", Value: func(s client.Secret) string { return strconv.FormatBool(s.Shared) }},
			{Name: "OWNER", Wide: true, Value: func(s client.Secret) string { return s.Owner }},
			{Name: "USED BY", Value: func(s client.Secret) string { return strings.Join(s.UsedBy, ", ") }},
		})
	}, p)
	return cmd
}

// secretFlags are where the value of a secret comes from. There is no flag for the value: others see command lines.
type secretFlags struct {
	file, registry, username string
	shared, keepRunning      bool
}

func (p *program) secretStore(verb string) *cobra.Command {
	var f secretFlags
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: "Store a new secret", Args: cmdline.Args(1, 1),
		Long: "Store a secret, read from standard input or a file, whole but for one line end at its end. With --registry it is the password for that image registry.",
		Example: "  oak secret " + verb + " db-password < password.txt\n  oak secret " + verb + " tls.key --from-file key.pem\n" +
			"  oak secret " + verb + " hub --registry registry.example:5000 --registry-username robot < token",
	}
	cmd.Flags().StringVarP(&f.file, "from-file", "f", "-", "file with the value; - is standard input")
	cmd.Flags().StringVar(&f.registry, "registry", "", "HOST or HOST:PORT of the image registry that the value is the password for")
	cmd.Flags().StringVar(&f.username, "registry-username", "", "the name that goes with it, with --registry")
	cmd.Flags().BoolVar(&f.shared, "shared", false, "let all applications of your organization use it")
	if verb == "update" {
		cmd.Short = "Store a new version of a secret, to which the services that use it change over"
		cmd.Flags().BoolVar(&f.keepRunning, "no-restart", false, "leave running instances with the version that they have")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (f.registry == "") != (f.username == "") {
			return cmdline.Usagef("--registry and --registry-username go together")
		}
		v, err := p.readSecret(f)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("shared") {
			v.Shared = &f.shared
		}
		ctx := cmd.Context()
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		var s *client.Secret
		if verb == "create" {
			v.Name = args[0]
			s, err = c.CreateSecret(ctx, v)
		} else {
			restart := !f.keepRunning
			v.Restart = &restart
			s, err = c.UpdateSecret(ctx, args[0], v)
		}
		if err != nil {
			return fmt.Errorf("%s secret %s: %w", verb, args[0], err)
		}
		if p.format.Data() {
			return output.Value(p.Out, p.format, s)
		}
		p.note("secret %s: version %d", s.Name, s.Version)
		return nil
	}
	return cmd
}

// readSecret reads the value that the flags mean.
func (p *program) readSecret(f secretFlags) (client.SecretValue, error) {
	in, name := p.In, "standard input"
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return client.SecretValue{}, fmt.Errorf("read secret: %w", err)
		}
		defer func() { _ = file.Close() }()
		in, name = file, f.file
	}
	value, err := io.ReadAll(io.LimitReader(in, wire.MaxSecretBytes+2))
	if err != nil {
		return client.SecretValue{}, fmt.Errorf("read secret from %s: %w", name, err)
	}
	value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	switch {
	case len(value) == 0:
		return client.SecretValue{}, cmdline.Usagef("%s is empty", name)
	case len(value) > wire.MaxSecretBytes:
		return client.SecretValue{}, cmdline.Usagef("%s has more than %d bytes, which is the most that a secret may have", name, wire.MaxSecretBytes)
	case f.registry != "":
		return client.SecretValue{Registry: &wire.RegistryLogin{Server: f.registry, Username: f.username, Password: string(value)}}, nil
	}
	return client.SecretValue{Value: value}, nil
}

func (p *program) secretDelete() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "delete NAME...", Aliases: []string{"rm"}, Short: "Forget secrets", Args: cmdline.Args(1, -1)}
	cmd.Flags().BoolVar(&force, "force", false, "although services use them: their instances run on, but cannot start anew elsewhere")
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		for _, name := range args {
			if err := c.DeleteSecret(ctx, name, force); err != nil {
				return fmt.Errorf("delete secret %s: %w", name, err)
			}
			p.note("secret %s deleted", name)
		}
		return nil
	})
	return cmd
}
