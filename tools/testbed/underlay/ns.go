// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// In runs f in the network namespace of host. Processes that f starts live there too.
//
// Only the network namespace changes: mounts, among them /sys/fs/cgroup and /sys/fs/bpf, stay the machine's own.
func In(host string, f func() error) error {
	return onThread(func() error {
		if err := Enter(host); err != nil {
			return err
		}
		return f()
	})
}

// Enter moves the calling thread to the network namespace of host for good. The caller has locked the thread.
func Enter(host string) error {
	ns, err := netns.GetFromPath(Path(host))
	if err != nil {
		return fmt.Errorf("open the network namespace of host %s: %w", host, err)
	}
	defer func() { _ = ns.Close() }()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter the network namespace of host %s: %w", host, err)
	}
	return nil
}

// onThread runs f on one thread and brings the thread back from the namespace in which f has left it. Ending the thread instead is not
// enough: it may be the process's main one, which Go parks for ever, and which would keep the namespace alive.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open the machine's network namespace: %w", err)
			return
		}
		defer func() { _ = home.Close() }()
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		} // else the thread is given up
		done <- err
	}()
	return <-done
}

// makeNS makes the namespace of host.
func makeNS(host string) error {
	return onThread(func() error {
		ns, err := netns.NewNamed(NetNS(host))
		if err != nil {
			return fmt.Errorf("make the network namespace of host %s: %w", host, err)
		}
		return ns.Close()
	})
}

// deleteNS removes the name of a namespace; the namespace itself goes with its last process.
func deleteNS(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", path, err)
	}
	return nil
}

// Hosts returns the names of the hosts whose namespaces exist, whoever left them.
func Hosts() []string {
	paths, err := filepath.Glob(filepath.Join(nsDir, prefix+"*"))
	if err != nil {
		return nil // the pattern is constant
	}
	hosts := make([]string, 0, len(paths))
	for _, p := range paths {
		if h := strings.TrimPrefix(filepath.Base(p), prefix); h != hub {
			hosts = append(hosts, h)
		}
	}
	return hosts
}
