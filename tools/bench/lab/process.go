// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Command is a process to start.
type Command struct {
	// Namespace is where it runs; nil is the caller's own.
	Namespace *Namespace
	// CPUs are the processors that it may run on; none: all.
	CPUs []int
	// Idle gives it the idle priority.
	Idle bool
	Path string
	Args []string
	// Env is added to the caller's.
	Env    []string
	Stdin  io.Reader
	Stdout io.Writer
	// Stderr takes what it says of failures; nil keeps the end of it for [Process.Wait].
	Stderr io.Writer
}

// Process is a started process. It dies with the lab, however that ends.
type Process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
	err    error
	once   sync.Once
}

// spawner has one thread for as long as the lab is open: the kernel ends the processes when the thread that started them ends.
func spawner(jobs <-chan func()) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for job := range jobs {
		job()
	}
}

// Start starts a process.
func (l *Lab) Start(c Command) (*Process, error) {
	p := &Process{cmd: exec.Command(c.Path, c.Args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if c.Stderr == nil {
		p.cmd.Stderr = &p.stderr
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	result := make(chan error, 1)
	l.spawn <- func() { result <- startAs(p.cmd, c) }
	if err := <-result; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Keep has the process ended with the lab at the latest, before namespaces are taken away.
func (l *Lab) Keep(p *Process) { l.processes = append(l.processes, p) }

// startAs makes the calling thread what the process is to be, starts it, and undoes that.
func startAs(cmd *exec.Cmd, c Command) error {
	if c.Namespace != nil {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer func() { _ = home.Close() }()
		if err := netns.Set(c.Namespace.handle); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", c.Namespace.name, err)
		}
		defer func() { _ = netns.Set(home) }()
	}
	if len(c.CPUs) > 0 {
		var before, set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			return err
		}
		for _, cpu := range c.CPUs {
			set.Set(cpu)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin it to processors %v: %w", c.CPUs, err)
		}
		defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	}
	if c.Idle {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
			return fmt.Errorf("give it the idle priority: %w", err)
		}
		defer func() {
			attr.Policy = unix.SCHED_NORMAL
			_ = unix.SchedSetAttr(0, &attr, 0)
		}()
	}
	return cmd.Start()
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Pin has all of the process's threads run on some processors only, and what they start.
func (p *Process) Pin(cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	// A thread that starts meanwhile has the affinity of the one that starts it: after the second look none is left.
	for range 2 {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID()))
		if err != nil {
			return fmt.Errorf("pin process %d: %w", p.PID(), err)
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("pin process %d: %w", p.PID(), err)
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin process %d: %w", p.PID(), err)
			}
		}
	}
	return nil
}

// Running reports whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits until it has ended, or ends it with ctx.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("wait for process %d: %w", p.PID(), context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("process %d: %w: %s", p.PID(), p.err, bytes.TrimSpace([]byte(firstLines(p.stderr.String()))))
	}
	return nil
}

// Kill ends it at once.
func (p *Process) Kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
}
