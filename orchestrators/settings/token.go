// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	var role, output string
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
			if output != "" {
				return writeToken(output, token.String())
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", admitted, "what the bearer may join as: "+admitted)
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid")
	cmd.Flags().IntVar(&uses, "uses", 1, "how often the token can be used")
	cmd.Flags().StringVar(&output, "output", "", "file to write the token to in place of printing it; its owner alone can read it")
	return cmd
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
