// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Parse reads a key as it stands in a file or variable: base64 of [KeyBytes] bytes.
func Parse(text string) (*Vault, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("read key for secrets: it is not base64 of %d bytes, as `head -c %d /dev/urandom | base64` makes it", KeyBytes, KeyBytes)
	}
	return New(key)
}

// Load reads the key in a file. It fails with [fs.ErrNotExist] if there is none, and refuses one that others than its owner may read.
func Load(path string) (*Vault, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key for secrets: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key for secrets: %s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key for secrets: %w", err)
	}
	v, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return v, nil
}

// Create makes a new key and writes it to a file, which only its owner may read. If another process was faster, its key is returned.
func Create(path string) (*Vault, error) {
	key := make([]byte, KeyBytes)
	_, _ = rand.Read(key) // never fails
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make key for secrets: %w", err)
	}
	f, err := os.CreateTemp(dir, ".secrets-key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("make key for secrets: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make key for secrets: %w", err)
	}
	// Whole or not at all, and never over one that is there.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make key for secrets: %w", err)
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return Load(path)
}
