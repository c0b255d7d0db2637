// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of the lab.
type Namespace struct {
	name   string
	handle netns.NsHandle
}

// Namespace makes one, with its loopback up.
func (l *Lab) Namespace(name string) (*Namespace, error) {
	n := &Namespace{name: prefix + name}
	err := onThread(func() (err error) {
		if n.handle, err = netns.NewNamed(n.name); err != nil {
			return fmt.Errorf("make network namespace %s: %w", n.name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.spaces = append(l.spaces, n)
	return n, n.Links(func(h *netlink.Handle) error { return Up(h, "lo") })
}

// Path is where the namespace can be opened.
func (n *Namespace) Path() string { return filepath.Join(namedDir, n.name) }

// Do runs f in the namespace, on a thread of its own.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// onThread runs f on one thread and brings that back from wherever f has left it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open the own network namespace: %w", err)
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
	return <-done
}

// Links runs f with a handle on the namespace's devices, addresses and routes.
func (n *Namespace) Links(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in %s: %w", n.name, err)
	}
	defer h.Close()
	if err := f(h); err != nil {
		return fmt.Errorf("in network namespace %s: %w", n.name, err)
	}
	return nil
}

// Sysctl sets a value by its path below /proc/sys.
func (n *Namespace) Sysctl(path, value string) error {
	return n.Do(func() error {
		if err := os.WriteFile("/proc/sys/"+path, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s in %s: %w", path, n.name, err)
		}
		return nil
	})
}

// Run runs a command in the namespace and returns what it printed.
func (n *Namespace) Run(ctx context.Context, stdin string, name string, args ...string) (out []byte, err error) {
	err = n.Do(func() error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err = cmd.Output(); err != nil {
			return fmt.Errorf("run %s in %s: %w: %s", name, n.name, err, strings.TrimSpace(firstLines(stderr.String())))
		}
		return nil
	})
	return out, err
}

// firstLines keeps an error message legible.
func firstLines(s string) string { return s[:min(len(s), 600)] }
