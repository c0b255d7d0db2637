// SPDX-License-Identifier: Apache-2.0

package netspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Folder holds the namespaces of one worker.
type Folder struct{ dir string }

// Open returns the folder at dir, which is created if missing.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of network namespaces: %w", err)
	}
	return &Folder{dir: dir}, nil
}

// Path returns where the namespace of copy id is or would be.
func (f *Folder) Path(id string) string { return filepath.Join(f.dir, id) }

// Create makes sure that the namespace of copy id exists, with its loopback interface up, and returns its path. A namespace
// that is there already is kept.
func (f *Folder) Create(ctx context.Context, id string) (string, error) {
	path := f.Path(id)
	if mounted(path) {
		return path, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return "", fmt.Errorf("create network namespace: %w", err)
	}
	_ = file.Close()
	done := make(chan error, 1)
	go func() { done <- elsewhere(func() error { return populate(path) }) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("create network namespace %s: %w", path, err), f.Remove(id))
	}
	return path, nil
}

// elsewhere runs f, which leaves its thread in another namespace, and brings the thread back. Ending the thread instead is not enough: the
// goroutine may run on the process's main thread, which Go parks for ever, and which would keep the namespace alive as long as NodeEngine
// lives. A thread that cannot be brought back is given up, never reused.
func elsewhere(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the host's network namespace: %w", err)
	}
	defer func() { _ = home.Close() }()
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return to the host's network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// populate moves the calling thread into a new namespace, brings loopback up and pins it at path.
func populate(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind mount: %w", err)
	}
	return nil
}

// Remove unpins the namespace of copy id; it vanishes once nothing runs in it. No namespace is no error.
func (f *Folder) Remove(id string) error {
	path := f.Path(id)
	for mounted(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount network namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace: %w", err)
	}
	return nil
}

// List returns the ids of all namespaces, also of those that a reboot has left as empty files.
func (f *Folder) List() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, nil
}

// mounted reports whether path is a pinned namespace and not an empty file.
func mounted(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}
