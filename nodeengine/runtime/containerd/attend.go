// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

const (
	// hangUpGrace is how long a command has to end by itself after whoever watched it has gone.
	hangUpGrace = time.Second
	// attendStart bounds the start of a command, which takes some 30 ms.
	attendStart = 10 * time.Second
	// attendEnd bounds the removal of a command, with which the last of its output comes.
	attendEnd = 10 * time.Second
)

// execDir holds a folder for each command, CONTAINER:COMMAND: its FIFOs, and proof that it has to be removed.
func (r *Runtime) execDir() string { return filepath.Join(r.opts.RunDir, "exec") }

// Attend runs a command in the container, with the user, capabilities, limits and environment of its own process.
func (r *Runtime) Attend(ctx context.Context, id string, p runtime.Process) (code int, err error) {
	task, spec, err := r.processOf(ctx, id, p)
	if err != nil {
		return 0, err
	}
	execID := "stream-" + pki.NewID()
	dir := filepath.Join(r.execDir(), id+":"+execID)
	stdin, output, opts := newInput(p.Stdin), &output{}, []cio.Opt{cio.WithFIFODir(dir)}
	if p.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	opts = append(opts, cio.WithStreams(stdin.reader(), output.to(p.Stdout), output.to(p.Stderr)))
	defer func() { err = errors.Join(err, forgetExec(dir)) }()
	// Not broken off when whoever asked has gone: a command of which it is not known how far its start came could not be ended.
	starting, started := context.WithTimeout(context.WithoutCancel(ctx), attendStart)
	defer started()
	process, err := task.Exec(starting, execID, spec, cio.NewCreator(opts...))
	if err != nil {
		return 0, commandError(id, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attendEnd)
		defer cancel()
		_ = endProcess(ctx, process)
	}()
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx)) // also for what the end of ctx does
	defer cancel()
	ended, err := process.Wait(waiting)
	if err != nil {
		return 0, fmt.Errorf("wait for command in %s: %w", id, err)
	}
	if err := process.Start(starting); err != nil {
		return 0, commandError(id, err)
	}
	if p.TTY && p.Size != (runtime.Size{}) {
		_ = process.Resize(ctx, uint32(p.Size.Columns), uint32(p.Size.Rows)) // of a command that has ended it fails
	}
	if p.Started != nil {
		p.Started()
	}
	stdin.onEOF(func() { _ = process.CloseIO(ctx, client.WithStdinCloser) })
	status, err := watchProcess(ctx, process, ended, p)
	if err != nil {
		return 0, fmt.Errorf("run command in %s: %w", id, err)
	}
	output.drain(ctx, process.IO())
	return int(status.ExitCode()), nil
}

// processOf returns the container's task and what to run beside it.
func (r *Runtime) processOf(ctx context.Context, id string, p runtime.Process) (client.Task, *specs.Process, error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, nil, notFound(id, err)
	}
	own, err := r.ownProcess(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotRunning)
	}
	if err != nil {
		return nil, nil, notFound(id, err)
	}
	if s, err := task.Status(ctx); err != nil || s.Status != client.Running {
		return nil, nil, errors.Join(fmt.Errorf("container %s: %w", id, runtime.ErrNotRunning), err)
	}
	process := *own
	process.Args, process.Terminal = p.Command, p.TTY
	process.Env = slices.Clone(process.Env)
	if p.TTY && !slices.ContainsFunc(process.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		process.Env = append(process.Env, "TERM=xterm")
	}
	return task, &process, nil
}

// watchProcess passes on sizes and signals until the process ends. When ctx ends it is hung up on, and killed if that does not end it.
func watchProcess(ctx context.Context, process client.Process, ended <-chan client.ExitStatus, p runtime.Process) (client.ExitStatus, error) {
	for {
		select {
		case s := <-ended:
			return s, s.Error()
		case size := <-p.Resize:
			_ = process.Resize(ctx, uint32(size.Columns), uint32(size.Rows))
		case n := <-p.Signals:
			_ = process.Kill(ctx, syscall.Signal(n))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), attendEnd)
			defer cancel()
			_ = process.Kill(last, syscall.SIGHUP)
			grace := time.NewTimer(hangUpGrace)
			defer grace.Stop()
			select {
			case <-ended:
			case <-grace.C:
				_ = process.Kill(last, syscall.SIGKILL)
			}
			return client.ExitStatus{}, context.Cause(ctx)
		}
	}
}

// endProcess kills a command if it still runs, and has the shim forget it.
func endProcess(ctx context.Context, process client.Process) error {
	ended, err := process.Wait(ctx)
	if err != nil {
		return err
	}
	// client.WithProcessKill asks for all processes of the container to be killed, which a shim refuses for a command.
	err = process.Kill(ctx, syscall.SIGKILL)
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
		return err
	}
	if err == nil {
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if _, err = process.Delete(ctx); errdefs.IsNotFound(err) {
		err = nil
	}
	return err
}

// commandError tells what a person can do about from what is a fault of this machine.
func commandError(id string, err error) error {
	text := err.Error()
	if _, reason, ok := strings.Cut(text, "unable to start container process: "); ok {
		return &runtime.CommandError{Err: errors.New(strings.TrimSpace(strings.TrimSuffix(reason, ": unknown")))}
	}
	if errdefs.IsNotFound(err) || strings.Contains(text, "cannot exec in a stopped") {
		return fmt.Errorf("container %s: %w", id, runtime.ErrNotRunning)
	}
	return fmt.Errorf("run command in %s: %w", id, err)
}

// forgetExec removes the folder of a command.
func forgetExec(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove files of command: %w", err)
	}
	return nil
}

// EndCommands ends all commands that an earlier life of this program has left in containers: nobody watches them any more.
func (r *Runtime) EndCommands(ctx context.Context) error {
	dirs, err := os.ReadDir(r.execDir())
	if err != nil {
		return fmt.Errorf("look for commands that were left: %w", err)
	}
	var errs []error
	for _, entry := range dirs {
		dir := filepath.Join(r.execDir(), entry.Name())
		id, execID, _ := strings.Cut(entry.Name(), ":")
		if task, err := r.task(ctx, id); err == nil {
			if process, err := task.LoadProcess(ctx, execID, nil); err == nil {
				if err := endProcess(ctx, process); err != nil {
					errs = append(errs, fmt.Errorf("end command in %s: %w", id, err))
					continue
				}
			}
		}
		errs = append(errs, forgetExec(dir))
	}
	return errors.Join(errs...)
}
