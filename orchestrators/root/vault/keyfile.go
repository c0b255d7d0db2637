// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Parse reads keys as they stand in a file or variable: base64 of [KeyBytes] bytes each, with white space between them.
func Parse(text string) (*Vault, error) {
	var keys [][]byte
	for _, word := range strings.Fields(text) {
		key, err := base64.StdEncoding.DecodeString(word)
		if err != nil {
			return nil, fmt.Errorf("read key for secrets: it is not base64 of %d bytes, as `head -c %d /dev/urandom | base64` makes it", KeyBytes, KeyBytes)
		}
		keys = append(keys, key)
	}
	return New(keys...)
}

// Load reads the keys in a file. It fails with [fs.ErrNotExist] if there is none, and refuses one that others than its owner may read.
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
	v.path, v.read = path, info
	return v, nil
}

// Reload reads the keys anew from the file that they are from if it has changed, and reports whether it did.
func (v *Vault) Reload() bool {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	if v.path == "" {
		return false
	}
	info, err := os.Stat(v.path)
	if err != nil || v.read != nil && os.SameFile(info, v.read) && info.ModTime().Equal(v.read.ModTime()) && info.Size() == v.read.Size() {
		return false
	}
	now, err := Load(v.path)
	if err != nil {
		return false // it goes on with what it has
	}
	v.keys.Store(now.keys.Load())
	v.read = now.read
	return true
}

// Save writes the keys to a file in place of what is there, whole or not at all. Whose file it was stays so.
func (v *Vault) Save(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".secrets-key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write keys for secrets: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	for _, k := range *v.keys.Load() {
		_, writing := f.WriteString(base64.StdEncoding.EncodeToString(k.raw) + "\n")
		err = errors.Join(err, writing)
	}
	if before, stat := os.Stat(path); stat == nil {
		if owner, ok := before.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			err = errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)))
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write keys for secrets: %w", err)
	}
	syncDir(dir)
	return nil
}

func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// Create makes a new key and writes it to a file, which only its owner may read. If another process was faster, its key is returned.
func Create(path string) (*Vault, error) {
	key := (*Generate().keys.Load())[0].raw
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
	syncDir(dir)
	return Load(path)
}
