// SPDX-License-Identifier: Apache-2.0

package netnstest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Enter moves the test itself into a new namespace until it ends. The test's goroutine stays on one thread meanwhile; others
// that it starts are not in the namespace.
func Enter(t testing.TB) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatalf("open the test's network namespace: %v", err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		if netns.Set(before) == nil {
			runtime.UnlockOSThread()
		} // else the thread dies with the test's goroutine
		_ = before.Close()
		_ = ns.Close()
	})
	return ns
}

// New makes a namespace. The test's end closes the handle, which ends the namespace unless sockets or mounts keep it.
func New(t testing.TB) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	onThread(t, func() (err error) {
		if ns, err = netns.New(); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return nil
	})
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// NewQuiet makes a namespace whose loopback is up and whose devices speak both families, but say nothing by themselves: they have no
// link-local addresses, ask for no routers and look for no duplicates.
func NewQuiet(t testing.TB) netns.NsHandle {
	t.Helper()
	ns := New(t)
	Within(t, ns, func() error {
		for key, value := range map[string]string{"addr_gen_mode": "1", "accept_ra": "0", "accept_dad": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/"+key, []byte(value), 0o644); err != nil {
				return err
			}
		}
		return loopbackUp()
	})
	return ns
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// NewIPv4 makes a namespace whose loopback is up and whose devices speak no IPv6: its neighbour discovery would be noise
// among what a test counts.
func NewIPv4(t testing.TB) netns.NsHandle {
	t.Helper()
	ns := New(t)
	Within(t, ns, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644); err != nil {
			return err
		}
		return loopbackUp()
	})
	return ns
}

// Within runs f in the namespace, on a thread of its own, and fails the test if f does.
func Within(t testing.TB, ns netns.NsHandle, f func() error) {
	t.Helper()
	onThread(t, func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		return f()
	})
}

// Bind gives the namespace a path until the test ends, as a container runtime does.
func Bind(t testing.TB, ns netns.NsHandle, name string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatalf("make the namespace's file: %v", err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", int(ns)), path, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind the namespace to its file: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// NewBound makes a namespace that nothing but its path keeps: it ends when that is unmounted, with the test at the latest.
func NewBound(t testing.TB, name string) (path string) {
	t.Helper()
	onThread(t, func() error {
		ns, err := netns.New()
		if err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		path = Bind(t, ns, name)
		return ns.Close()
	})
	return path
}

// onThread runs f on one thread and brings the thread back from wherever f has left it. Ending the thread instead is not enough: it may be
// the process's main one, which Go parks for ever, and which would keep the namespace alive.
func onThread(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done) // also where f ends its goroutine by failing the test
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open the test's network namespace: %w", err)
			return
		}
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			} // else the thread is given up
			_ = home.Close()
		}()
		done <- f()
	}()
	err, returned := <-done
	switch {
	case err != nil:
		t.Fatal(err)
	case !returned:
		t.FailNow()
	}
}
