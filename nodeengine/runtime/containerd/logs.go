// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// logCheck is how often logs are measured.
const logCheck = 2 * time.Second

// oldSuffix is the end of the name of what was rotated out.
const oldSuffix = ".1"

func (r *Runtime) logDir() string { return filepath.Join(r.opts.StateDir, "logs") }

// logPath is the log of container id: what it writes to standard output and error. containerd's shim appends to it, also
// while NodeEngine is not there.
func (r *Runtime) logPath(id string) string { return filepath.Join(r.logDir(), id+".log") }

// DropLog deletes the log of container id.
func (r *Runtime) DropLog(id string) error {
	var errs []error
	for _, p := range []string{r.logPath(id), r.logPath(id) + oldSuffix} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete log: %w", err))
		}
	}
	return errors.Join(errs...)
}

// BoundLogs keeps logs within bounds until ctx ends.
func (r *Runtime) BoundLogs(ctx context.Context) {
	for {
		if err := r.rotate(); err != nil {
			r.opts.Log.Warn("logs of containers are not bounded", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(logCheck):
		}
	}
}

func (r *Runtime) rotate() error {
	entries, err := os.ReadDir(r.logDir())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(r.logDir(), e.Name())
		if st, err := e.Info(); err == nil && strings.HasSuffix(path, ".log") && st.Size() > r.opts.MaxLogBytes {
			errs = append(errs, rotateFile(path, r.opts.MaxLogBytes))
		}
	}
	return errors.Join(errs...)
}

// rotateFile keeps the last bytes of the log under another name and empties it. The shim holds the file open for appending,
// so it cannot be renamed; the few lines written in between are lost.
func rotateFile(path string, keep int64) error {
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if _, err := in.Seek(-keep, io.SeekEnd); err != nil {
		return fmt.Errorf("rotate %s: %w", path, err)
	}
	out, err := os.OpenFile(path+oldSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, keep))
	return errors.Join(err, out.Close(), in.Truncate(0))
}
