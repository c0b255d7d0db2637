// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Manage the tokens by which clusters join"}
	cmd.AddCommand(p.tokenCreate(), p.tokenList(), p.tokenRevoke())
	cmdline.Group(cmd)
	return cmd
}

// created is a token and the command by which a cluster joins with it.
type created struct {
	*client.Token
	Command string `json:"command"`
}

func (p *program) tokenCreate() *cobra.Command {
	var ttl time.Duration
	var uses int
	var role, address string
	var quiet bool
	var m joining.Machine
	cmd := &cobra.Command{
		Use: "create", Aliases: []string{"c"}, Short: "Create a token for a cluster to join with, and print the command that is to be typed on its machine", Args: cmdline.Args(0, 0),
		Long: `Create a token for a cluster to join with, and print the command that is to be typed on the cluster's machine: in the folder of the repository, where it
starts the cluster in containers, or with --program anywhere. The token is told this once. It names root's authority too, so that nothing else has to be trusted.

Workers join their cluster, which makes tokens for them: "cluster-orchestrator token create" on its machine prints the command for a worker.`,
		Example: "  oak token create --cluster-name c1 --cluster-location 48.26,11.67,1000\n  oak token create --quiet > token",
		RunE: p.connected(func(ctx context.Context, c *client.Client, _ []string) (err error) {
			switch role {
			case pki.RoleCluster:
			case pki.RoleWorker:
				return cmdline.Usagef("--role worker: a worker joins its cluster, which makes its tokens; on the cluster's machine this prints the whole command for a worker, where the "+
					"cluster is in containers: `%s`; and else: `cluster-orchestrator token create`", joining.WorkerCommand)
			default:
				return cmdline.Usagef("--role %q is neither %s nor %s", role, pki.RoleCluster, pki.RoleWorker)
			}
			if ttl < time.Second {
				return cmdline.Usagef("--ttl has to be a second or more")
			}
			if m.Host, m.Port, err = p.whereRootIs(address, c.URL()); err != nil {
				return err
			}
			if m.Name != "" && !joining.ClusterName(m.Name) {
				return cmdline.Usagef("--cluster-name %q: it %s", m.Name, joining.ClusterNames)
			}
			if err := geo.Check(m.Location); err != nil {
				return cmdline.Usagef("--cluster-location %q is %v", m.Location, err)
			}
			t, err := c.CreateToken(ctx, ttl, uses)
			if err != nil {
				return fmt.Errorf("create token: %w", err)
			}
			if quiet {
				_, err = fmt.Fprintln(p.Out, t.Token)
				return err
			}
			m.Token = t.Token
			line, err := m.Command()
			if err != nil {
				return err
			}
			if p.format.Data() {
				return output.Value(p.Out, p.format, created{t, line})
			}
			p.note("To be typed on the machine of the cluster, within %s; good for %d of them:", ttl, uses)
			if m.Host == "" {
				p.note("(At which address others reach root cannot be seen from here: fill it in, or give --address.)")
			}
			_, err = fmt.Fprintln(p.Out, line)
			return err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", pki.RoleCluster, "what joins: a "+pki.RoleCluster+"; for a "+pki.RoleWorker+" it says where its token is made")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	f.IntVar(&uses, "uses", 1, "how often the token can be used")
	f.BoolVarP(&quiet, "quiet", "q", false, "print the token alone")
	f.StringVar(&address, "address", "", "HOST or HOST:PORT at which the cluster reaches root, for the command (default: as --url, or this machine's address where that is loopback)")
	f.StringVar(&m.Name, "cluster-name", "", "what people are to call the cluster, for the command (default: its machine's host name)")
	f.StringVar(&m.Location, "cluster-location", "", "where the cluster is, lat,lon,radius or a name, for the command")
	f.StringVar(&m.TokenFile, "token-file", "", "where the cluster's machine is to keep the token, for the command (default: "+joining.ClusterTokenFile+")")
	f.BoolVar(&m.Program, "program", false, "have the command start a program of the machine, whose database OAK_DATABASE names there, in place of containers")
	return cmd
}

// whereRootIs is how another machine reaches root: as it was said, or else as oak does.
func (p *program) whereRootIs(address, used string) (host string, port int, err error) {
	if address != "" {
		if host, port, err = joining.SplitAddress(address); err != nil {
			return "", 0, cmdline.Usagef("--address: %v", err)
		}
		return host, port, nil
	}
	u, err := url.Parse(used)
	if err != nil {
		return "", 0, fmt.Errorf("read root's address: %w", err)
	}
	if port = joining.RootPort; u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return "", 0, fmt.Errorf("read root's address: %w", err)
		}
	} else if u.Scheme == "https" {
		port = httpsPort
	}
	host = u.Hostname()
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		host = joining.Here()
	}
	return host, port, nil
}

// httpsPort is that of URLs which name none.
const httpsPort = 443

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
