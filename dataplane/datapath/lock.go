// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// ErrRunning is returned by [Open] while another NetManager holds the same worker's datapath, or works in the same network namespace.
var ErrRunning = errors.New("another NetManager is at work")

// lockWait is how long a NetManager waits for the one that it replaces to end.
const lockWait = 2 * time.Second

// takeLocks takes the worker's lock and that of the network namespace: devices have the same names for every worker, and the uplink
// one owner. The kernel frees both when the process ends.
func takeLocks(o Options) ([]*os.File, error) {
	dir := o.LockDir
	if dir == "" {
		dir = "/run/oakestra"
	}
	files := LockFiles(dir, o.Worker)
	if len(files) != 2 {
		return nil, errors.New("identify the network namespace: is /proc mounted?")
	}
	worker, err := takeLock(files[0])
	if err != nil {
		return nil, fmt.Errorf("%w: it holds worker %q: stop it first", err, o.Worker)
	}
	host, err := takeLock(files[1])
	if err != nil {
		_ = worker.Close()
		return nil, fmt.Errorf("%w: it serves this network namespace under another name: stop it, or give this one a network namespace of its own", err)
	}
	return []*os.File{worker, host}, nil
}

// LockFiles are the locks of a worker in a folder: its own, and that of this network namespace, if it can be told.
func LockFiles(dir, worker string) []string {
	files := []string{filepath.Join(dir, "netmanager-"+worker+".lock")}
	var ns unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &ns) == nil {
		files = append(files, filepath.Join(dir, fmt.Sprintf("netns-%d.lock", ns.Ino)))
	}
	return files
}

func takeLock(path string) (*os.File, error) {
	f, err := statefile.Lock(path, lockWait)
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("%w (lock %s)", ErrRunning, path)
	}
	return f, err
}

func release(locks []*os.File) error {
	var errs []error
	for _, f := range locks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
