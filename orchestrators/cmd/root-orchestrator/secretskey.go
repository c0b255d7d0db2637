// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
)

const (
	// defaultSecretsKey is where the key for users' secrets is kept unless configured.
	defaultSecretsKey = "/var/lib/oakestra/root/secrets.key"
	// secretsKeyVariable holds the key itself, for where no file can be kept.
	secretsKeyVariable = "OAK_ROOT_SECRETS_KEY"
)

// loadVault returns the vault for users' secrets: with the key in the environment, or else in the file, which is made at the first start.
// Where the default file cannot be made, there is none, and no secrets are taken.
func loadVault(path string, asked bool, log *slog.Logger) (*vault.Vault, error) {
	if text := os.Getenv(secretsKeyVariable); text != "" {
		_ = os.Unsetenv(secretsKeyVariable) // nothing that is started later is to know it
		v, err := vault.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", secretsKeyVariable, err)
		}
		return v, nil
	}
	v, err := vault.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		v, err = vault.Create(path)
		switch {
		case err == nil:
			log.Warn("made a key for users' secrets: back it up; without it no stored secret can be read again, and every root of this "+
				"installation needs the same", "file", path, "key", v.ID())
		case !asked:
			log.Warn("no secrets are taken: the key for them cannot be kept; name a file with --secrets-key-file", "error", err)
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("--secrets-key-file: %w", err)
	}
	return v, nil
}
