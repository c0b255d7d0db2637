// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
)

// prefix begins the names of all namespaces of a lab.
const prefix = "oakbench-"

// Folders that are the machine's, so that leftovers are found whoever starts next.
const (
	// Dir holds all that a lab writes.
	Dir      = "/run/oak-bench"
	bpffs    = Dir + "/bpf"
	lockFile = Dir + ".lock"
	namedDir = "/run/netns"
)

// ErrBusy is returned while another lab is open.
var ErrBusy = errors.New("another benchmark is running")

// Lab is an open lab.
type Lab struct {
	lock      *os.File
	spawn     chan func()
	spaces    []*Namespace
	processes []*Process
	closed    sync.Once
}

// Open takes away what an earlier lab has left and opens one.
func Open() (*Lab, error) {
	f, err := takeLock()
	if err != nil {
		return nil, err
	}
	l := &Lab{lock: f, spawn: make(chan func())}
	if err := errors.Join(clear(), l.prepare()); err != nil {
		_ = f.Close()
		return nil, err
	}
	go spawner(l.spawn)
	return l, nil
}

// Clear takes away what a lab has left that is open no more.
func Clear() error {
	f, err := takeLock()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return clear()
}

func takeLock() (*os.File, error) {
	f, err := statefile.Lock(lockFile, 0)
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("%w: wait for it or end it (its lock is %s)", ErrBusy, lockFile)
	}
	return f, err
}

func (l *Lab) prepare() error {
	for _, dir := range []string{Dir, bpffs, namedDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the lab's folders: %w", err)
		}
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system at %s: %w", bpffs, err)
	}
	return nil
}

// Close ends the lab's processes and takes everything away. A second call changes nothing.
func (l *Lab) Close() (err error) {
	l.closed.Do(func() { err = l.close() })
	return err
}

func (l *Lab) close() error {
	for _, p := range l.processes {
		p.Kill()
	}
	for _, n := range l.spaces {
		_ = n.handle.Close()
	}
	close(l.spawn)
	err := clear()
	_ = l.lock.Close()
	return err
}

// BPFFS is the mount point of the lab's BPF file system.
func (l *Lab) BPFFS() string { return bpffs }

// clear takes away namespaces, with their links and rules, and the folder with its pins. Processes of a lab die with it.
func clear() error {
	entries, err := os.ReadDir(namedDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			errs = append(errs, removeNamed(e.Name()))
		}
	}
	if err := unix.Unmount(bpffs, unix.MNT_DETACH); err != nil && !slices.Contains([]error{unix.EINVAL, unix.ENOENT}, err) {
		errs = append(errs, fmt.Errorf("unmount %s: %w", bpffs, err))
	}
	if err := os.RemoveAll(Dir); err != nil {
		errs = append(errs, fmt.Errorf("remove the lab's folder: %w", err))
	}
	return errors.Join(errs...)
}

func removeNamed(name string) error {
	if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		// A start that was broken off leaves the file without the mount.
		if rerr := os.Remove(filepath.Join(namedDir, name)); rerr != nil {
			return fmt.Errorf("remove network namespace %s: %w", name, err)
		}
	}
	return nil
}
