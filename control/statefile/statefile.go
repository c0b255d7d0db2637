// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MaxSize bounds what [Read] takes in, in bytes: the state of a worker with a thousand instances is a few MiB.
const MaxSize = 64 << 20

// fileMode and dirMode keep state, which includes keys, to its owner.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// Write stores v as JSON at path so that a crash or a power cut at any moment leaves either the old content or the new. The
// folder is created if it is missing. Concurrent writers of one path do not mix: the last rename wins.
func Write(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode state for %s: %w", path, err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write state %s: %w", path, err)
	}
	if err := fill(tmp, data); err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write state %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write state %s: %w", path, err)
	}
	return syncDir(dir)
}

// fill writes data to f, makes it durable and closes f.
func fill(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close())
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync state folder %s: %w", dir, err)
	}
	return nil
}

// Read decodes the JSON at path into v. The error wraps [io/fs.ErrNotExist] if there is no such file.
func Read(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return fmt.Errorf("read state %s: %w", path, err)
	}
	if len(data) > MaxSize {
		return fmt.Errorf("read state %s: larger than %d bytes: not a state file of this program", path, MaxSize)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read state %s: %w: move the file away to start without it", path, err)
	}
	return nil
}
