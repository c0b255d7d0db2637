// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrRunning is returned by [Open] while another NetManager holds the same worker's datapath, or works in the same network namespace.
var ErrRunning = errors.New("another NetManager is at work")

// takeLocks takes the worker's lock and that of the network namespace: devices have the same names for every worker, and the uplink
// one owner. The kernel frees both when the process ends.
func takeLocks(o Options) ([]*os.File, error) {
	dir := o.LockDir
	if dir == "" {
		dir = "/run/oakestra"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create lock folder: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &ns); err != nil {
		return nil, fmt.Errorf("identify the network namespace: %w", err)
	}
	worker, err := takeLock(filepath.Join(dir, "netmanager-"+o.Worker+".lock"))
	if err != nil {
		return nil, fmt.Errorf("%w: it holds worker %q: stop it first", err, o.Worker)
	}
	host, err := takeLock(filepath.Join(dir, fmt.Sprintf("netns-%d.lock", ns.Ino)))
	if err != nil {
		_ = worker.Close()
		return nil, fmt.Errorf("%w: it serves this network namespace under another name: stop it, or give this one a network namespace of its own", err)
	}
	return []*os.File{worker, host}, nil
}

func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (lock %s)", ErrRunning, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func release(locks []*os.File) error {
	var errs []error
	for _, f := range locks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
