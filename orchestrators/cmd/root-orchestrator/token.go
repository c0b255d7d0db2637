// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

func newTokenCommand(s *settings) *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "Manage the tokens with which clusters join"}
	var role string
	var ttl time.Duration
	var uses int
	create := &cobra.Command{
		Use:   "create",
		Short: "Create a join token and print it, alone, on standard output",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.requireDatabase(); err != nil {
				return err
			}
			if role != pki.RoleCluster {
				return fmt.Errorf("read --role: %q: only a %s joins a root; a worker's token comes from its cluster", role, pki.RoleCluster)
			}
			log, err := s.logger()
			if err != nil {
				return err
			}
			pool, err := store.Open(cmd.Context(), s.database, schema.Files(), log)
			if err != nil {
				return err
			}
			defer pool.Close()
			ca, err := identity.LoadCA(cmd.Context(), pool)
			if err != nil {
				return err
			}
			t, err := ca.IssueToken(cmd.Context(), role, ttl, uses)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), t)
			return err
		},
	}
	create.Flags().StringVar(&role, "role", pki.RoleCluster, "what the token admits: cluster")
	create.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	create.Flags().IntVar(&uses, "uses", 1, "how often the token can be used")
	token.AddCommand(create)
	return token
}
