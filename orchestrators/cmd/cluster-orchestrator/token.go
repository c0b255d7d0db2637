// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

func newTokenCommand(o *cluster.Options) *cobra.Command {
	var role string
	var ttl time.Duration
	var uses int
	create := &cobra.Command{
		Use: "create", Short: "Create a token that lets workers join, and print it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(cmd)
			if err != nil {
				return err
			}
			if role != pki.RoleWorker {
				return fmt.Errorf("--role %q: a cluster takes in workers only", role)
			}
			pool, err := store.Open(cmd.Context(), o.Database, records.Migrations(), log)
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
	create.Flags().StringVar(&role, "role", pki.RoleWorker, "what the bearer may join as: worker")
	create.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	create.Flags().IntVar(&uses, "uses", 1, "how many workers may join with it")
	token := &cobra.Command{Use: "token", Short: "Tokens that let workers join"}
	token.AddCommand(create)
	return token
}
