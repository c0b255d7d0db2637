// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// nsID tells one live network namespace from another. Numbers are used again once a namespace is gone.
type nsID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// namespace is an open network namespace.
type namespace struct {
	handle netns.NsHandle
	id     nsID
}

func (n namespace) close() { _ = n.handle.Close() }

// openNamespace opens the network namespace at path, which must not be the host's own.
func openNamespace(path string) (namespace, error) {
	if !filepath.IsAbs(path) {
		return namespace{}, fmt.Errorf("%w: netns %q is no absolute path", ErrInvalid, path)
	}
	h, err := netns.GetFromPath(path)
	if err != nil {
		return namespace{}, fmt.Errorf("%w: open network namespace %s: %w", ErrInvalid, path, err)
	}
	n := namespace{handle: h}
	if n.id, err = identify(int(h)); err != nil {
		n.close()
		return namespace{}, fmt.Errorf("%w: network namespace %s: %w", ErrInvalid, path, err)
	}
	own, err := ownNamespace()
	if err != nil {
		n.close()
		return namespace{}, err
	}
	if n.id == own {
		n.close()
		return namespace{}, fmt.Errorf("%w: network namespace %s is the host's own", ErrInvalid, path)
	}
	return n, nil
}

// identify refuses files that are no network namespace.
func identify(fd int) (nsID, error) {
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return nsID{}, errors.New("is no network namespace")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nsID{}, os.NewSyscallError("fstat", err)
	}
	return nsID{Device: st.Dev, Inode: st.Ino}, nil
}

func ownNamespace() (nsID, error) {
	h, err := netns.Get()
	if err != nil {
		return nsID{}, fmt.Errorf("open the host's network namespace: %w", err)
	}
	defer func() { _ = h.Close() }()
	return identify(int(h))
}

// do runs f on a thread inside the namespace. A thread that cannot be brought back is given up, never reused.
func (n namespace) do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		host, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("open the host's network namespace: %w", err)
			return
		}
		defer func() { _ = host.Close() }()
		if err := netns.Set(n.handle); err != nil {
			result <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		result <- f()
		if netns.Set(host) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-result
}
