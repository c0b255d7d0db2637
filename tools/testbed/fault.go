// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// Kill ends a component, COMPONENT@HOST, with SIGKILL and returns when it is gone. Containers and their shims are no part
// of it.
func Kill(ctx context.Context, name string) error {
	return locked(ctx, func() error {
		c, err := component(name)
		if err != nil {
			return err
		}
		return c.kill(ctx)
	})
}

// Stop holds a component's process with SIGSTOP; Cont lets it go on.
func Stop(ctx context.Context, name string) error { return signal(ctx, name, syscall.SIGSTOP) }

// Cont lets a stopped component go on.
func Cont(ctx context.Context, name string) error { return signal(ctx, name, syscall.SIGCONT) }

// Restart kills a component, if it runs, starts it again with the same arguments and returns when it answers.
func Restart(ctx context.Context, name string) error {
	return locked(ctx, func() error {
		c, err := component(name)
		if err != nil {
			return err
		}
		if err := c.kill(ctx); err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
		if c.PIDFile != "" {
			if err := os.Remove(c.PIDFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("restart %s: %w", c, err)
			}
		}
		if err := c.start(); err != nil {
			return err
		}
		return c.waitReady(ctx)
	})
}

// kill ends the component's process and, of one that forks, the others. [proc.ErrGone] says that there was none.
func (c *Component) kill(ctx context.Context) error {
	if c.Process.State() == proc.Dead {
		return fmt.Errorf("kill %s: %w", c, proc.ErrGone)
	}
	ids := []proc.ID{c.Process}
	if c.Tree {
		all, err := proc.Descendants(c.Process.PID)
		if err != nil {
			return fmt.Errorf("kill %s: %w", c, err)
		}
		ids = append(ids, all...)
	}
	if err := proc.Kill(ctx, ids...); err != nil {
		return fmt.Errorf("kill %s: %w", c, err)
	}
	return nil
}

func signal(ctx context.Context, name string, sig syscall.Signal) error {
	return locked(ctx, func() error {
		c, err := component(name)
		if err != nil {
			return err
		}
		ids := []proc.ID{c.Process}
		if c.Tree {
			if ids, err = proc.Descendants(c.Process.PID); err != nil {
				return fmt.Errorf("signal %s: %w", c, err)
			}
		}
		for _, id := range ids {
			if err := id.Signal(sig); err != nil {
				return fmt.Errorf("signal %s: %w", c, err)
			}
		}
		return nil
	})
}

// locked runs f while no other command changes the testbed.
func locked(ctx context.Context, f func() error) error {
	unlock, err := lock(ctx, lockFile, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}
