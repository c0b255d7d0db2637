// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
)

// secretsCommand returns the subcommand "secrets".
func (o *options) secretsCommand() *cobra.Command {
	group := &cobra.Command{Use: "secrets", Short: "Look after the key that seals users' secrets"}
	var file, fresh string
	var forget bool
	rekey := &cobra.Command{
		Use: "rekey", Short: "Change the key that seals users' secrets", Args: cmdline.Args(0, 0),
		Long: "Change the key that seals users' secrets, while root serves.\n\n" +
			"The new key is made, or read from --new-key-file, and written in front of the former ones into the file of --secrets-key-file, which root reads " +
			"again by itself. Then every secret is sealed anew in one transaction of the database. Broken off anywhere, nothing is lost: run it again.\n\n" +
			"The former keys stay in the file, behind the new one, since older dumps of the database are sealed with them; --forget-former takes them out, " +
			"after which such a dump opens with a backup of the file alone. Back the file up before and after.\n\n" +
			"Where several roots serve one database, make the key beforehand (head -c 32 /dev/urandom | base64), add it as one more line to the key file of each, " +
			"and name it here by --new-key-file. Where " + secretsKeyVariable + " holds the key, let it hold both, with a space between, restart root, and run this with " +
			"the variable set: it changes the database alone; the variable can lose the former key afterwards.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return o.rekey(cmd.Context(), cmd.OutOrStdout(), log, file, fresh, forget)
		},
	}
	rekey.Flags().StringVar(&file, "secrets-key-file", defaultSecretsKey, "file with the key that seals users' secrets now; the new one is added to it")
	rekey.Flags().StringVar(&fresh, "new-key-file", "", "file with the new key, base64 of 32 bytes (default: a key is made)")
	rekey.Flags().BoolVar(&forget, "forget-former", false, "take the former keys out of the file afterwards")
	group.AddCommand(rekey)
	cmdline.Group(group)
	return group
}

func (o *options) rekey(ctx context.Context, out io.Writer, log *slog.Logger, file, fresh string, forget bool) error {
	pool, err := o.database.Open(ctx, log)
	if err != nil {
		return err
	}
	defer pool.Close()
	var next *vault.Vault
	var inFile bool
	prepare := func() (*vault.Vault, string, error) {
		var former *vault.Vault
		if former, inFile, err = formerKeys(file); err != nil {
			return nil, "", err
		}
		next = vault.Generate()
		if fresh != "" {
			if next, err = vault.Load(fresh); err != nil {
				return nil, "", fmt.Errorf("--new-key-file: %w", err)
			}
		} else if !inFile {
			return nil, "", cmdline.Usagef("flag --new-key-file is missing: %s holds the key, so that a new one could be kept nowhere", secretsKeyVariable)
		}
		all, err := next.Before(former)
		if err == nil && inFile { // first, so that there is no moment at which a stored secret opens with no key that is kept
			err = all.Save(file)
		}
		return all, next.ID(), err
	}
	settle := func() error {
		if !inFile || !forget {
			return nil
		}
		return next.Save(file)
	}
	n, err := root.Rekey(ctx, pool, prepare, settle)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "sealed %d values with key %s\n", n, next.ID())
	return err
}

// formerKeys returns the keys of the environment, or else those in the file.
func formerKeys(file string) (keys *vault.Vault, inFile bool, err error) {
	if text := os.Getenv(secretsKeyVariable); text != "" {
		if keys, err = vault.Parse(text); err != nil {
			return nil, false, fmt.Errorf("%s: %w", secretsKeyVariable, err)
		}
		return keys, false, nil
	}
	keys, err = vault.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, fmt.Errorf("--secrets-key-file: %w: root makes it at its first start; name the file that it uses", err)
	}
	if err != nil {
		return nil, true, fmt.Errorf("--secrets-key-file: %w", err)
	}
	return keys, true, nil
}
