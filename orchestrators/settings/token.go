// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/joining"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// TokenCommand returns the subcommand "token", which lets others join as role, the only one that this orchestrator admits. The
// caller's persistent flags have filled db and log by the time that it runs.
func TokenCommand(role string, db *Database, log *cmdline.Log) *cobra.Command {
	group := &cobra.Command{Use: "token", Short: "Manage the tokens to join with"}
	group.AddCommand(createCommand(role, db, log))
	cmdline.Group(group)
	return group
}

// tokenFlags are those of token create.
type tokenFlags struct {
	role, output, address string
	ttl                   time.Duration
	uses                  int
	quiet, json           bool
	machine               joining.Machine
}

func (o *tokenFlags) add(f *pflag.FlagSet, admitted string) {
	f.StringVar(&o.role, "role", admitted, "what the bearer may join as: "+admitted)
	f.DurationVar(&o.ttl, "ttl", time.Hour, "how long the token is valid")
	f.IntVar(&o.uses, "uses", 1, "how often the token can be used")
	f.StringVar(&o.output, "output", "", "file to write the token to in place of printing it; its owner alone can read it")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print the token alone")
	f.BoolVar(&o.json, "json", false, "print token, its terms and the command to join with it, as JSON")
	f.StringVar(&o.address, "address", "", "HOST or HOST:PORT at which the "+admitted+" reaches this orchestrator, for the command (default: this machine's address, where it is one for others)")
	f.StringVar(&o.machine.TokenFile, "token-file", "", "where the "+admitted+" is to keep the token, for the command (default: where it looks for it)")
	f.StringVar(&o.machine.Name, admitted+"-name", "", "what people are to call the "+admitted+", for the command (default: its host name)")
	f.StringVar(&o.machine.Location, admitted+"-location", "", "where the "+admitted+" is, for the command")
	if admitted == pki.RoleCluster {
		f.BoolVar(&o.machine.Program, "program", false, "have the command start a program of the machine, whose database OAK_DATABASE names there, in place of containers")
	}
}

func createCommand(admitted string, db *Database, logging *cmdline.Log) *cobra.Command {
	var o tokenFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token to join with, and print the command that is to be typed on the machine that joins",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.role != admitted {
				return cmdline.Usagef("flag --role: %q: only a %s joins here; root's tokens are for clusters, a cluster's for workers", o.role, admitted)
			}
			if err := o.check(); err != nil {
				return err
			}
			log, err := logging.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			pool, err := db.Open(cmd.Context(), log)
			if err != nil {
				return err
			}
			defer pool.Close()
			ca, err := identity.LoadCA(cmd.Context(), pool)
			if err != nil {
				return err
			}
			token, err := ca.IssueToken(cmd.Context(), o.role, o.ttl, o.uses)
			if err != nil {
				return err
			}
			if o.output != "" {
				return writeToken(o.output, token.String())
			}
			return o.print(cmd, token)
		},
	}
	o.add(cmd.Flags(), admitted)
	return cmd
}

// check reads the address, and refuses what cannot be before a token is made.
func (o *tokenFlags) check() (err error) {
	if o.address == "" {
		o.machine.Host = joining.Here()
	} else if o.machine.Host, o.machine.Port, err = joining.SplitAddress(o.address); err != nil {
		return cmdline.Usagef("flag --address: %v", err)
	}
	if err := geo.Check(o.machine.Location); err != nil {
		return cmdline.Usagef("flag --%s-location: %q is %v", o.role, o.machine.Location, err)
	}
	if o.role == pki.RoleCluster && o.machine.Name != "" && !joining.ClusterName(o.machine.Name) {
		return cmdline.Usagef("flag --cluster-name: %q: it %s", o.machine.Name, joining.ClusterNames)
	}
	if o.quiet && o.json {
		return cmdline.Usagef("flags --quiet and --json exclude one another")
	}
	return nil
}

// print shows a token in the form that was asked for. What is for people alone goes to standard error.
func (o *tokenFlags) print(cmd *cobra.Command, token pki.Token) error {
	if o.quiet {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), token)
		return err
	}
	o.machine.Token = token.String()
	line, err := o.machine.Command()
	if err != nil {
		return err
	}
	if o.json {
		text, err := json.MarshalIndent(struct {
			Token     string    `json:"token"`
			ID        string    `json:"id"`
			Role      string    `json:"role"`
			Audience  string    `json:"audience"`
			Uses      int       `json:"uses"`
			ExpiresAt time.Time `json:"expires_at"`
			Command   string    `json:"command"`
		}{token.String(), token.ID, token.Role, token.Audience, o.uses, time.Now().Add(o.ttl).UTC().Truncate(time.Second), line}, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
		return err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "To be typed on the machine that joins, within %s; good for %d of them:\n", o.ttl, o.uses)
	if o.machine.Host == "" {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "(At which address others reach this orchestrator cannot be seen from here: fill it in, or give --address.)")
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}

// writeToken replaces a file by one that holds a token; whoever reads it meanwhile gets the former or the new one, whole.
func writeToken(path, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*")
	if err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already where all went well
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return nil
}
