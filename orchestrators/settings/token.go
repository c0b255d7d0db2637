// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
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

func createCommand(admitted string, db *Database, logging *cmdline.Log) *cobra.Command {
	var role string
	var ttl time.Duration
	var uses int
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token to join with and print it, alone, on standard output",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role != admitted {
				return cmdline.Usagef("flag --role: %q: only a %s joins here; root's tokens are for clusters, a cluster's for workers", role, admitted)
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
			token, err := ca.IssueToken(cmd.Context(), role, ttl, uses)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", admitted, "what the bearer may join as: "+admitted)
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	cmd.Flags().IntVar(&uses, "uses", 1, "how often the token can be used")
	return cmd
}
