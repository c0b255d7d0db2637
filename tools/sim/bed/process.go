// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout bounds how long a process may take to end before it is killed.
const stopTimeout = 10 * time.Second

// Process is a program that the bed runs.
type Process struct {
	// Name is the program's.
	Name string
	// LogFile holds all that it prints.
	LogFile string

	spec   spec
	cmd    *exec.Cmd
	ended  chan struct{}
	failed error
}

type spec struct {
	name, path string
	args       []string
	env        []string
	credential *syscall.Credential
	// end is the signal that ends it.
	end syscall.Signal
}

// starter starts processes on one thread that lives as long as this process: the kernel ends children with the thread that started them.
type starter struct{ jobs chan func() }

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
		select {} // never, as its end would end the children
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) (err error) {
	done := make(chan struct{})
	s.jobs <- func() { err = cmd.Start(); close(done) }
	<-done
	return err
}

// start starts a process whose output goes to a file in dir.
func (s *starter) run(sp spec, dir string) (*Process, error) {
	p := &Process{Name: sp.name, LogFile: filepath.Join(dir, sp.name+".log"), spec: sp, ended: make(chan struct{})}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", sp.name, err)
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(sp.path, sp.args...) //nolint:gosec // a program of ours, or Postgres
	p.cmd.Env, p.cmd.Dir = sp.env, "/"
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: sp.end, Credential: sp.credential}
	if err := s.start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", sp.name, err)
	}
	go func() {
		p.failed = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID returns the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// check returns an error, with the end of its log, if the process has ended.
func (p *Process) check() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended (%w); its last words:\n%s", p.Name, errors.Join(errEnded, p.failed), p.tail())
	default:
		return nil
	}
}

var errEnded = errors.New("nobody has asked it to")

const tailLines = 15

func (p *Process) tail() string {
	data, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}

// stop ends the process.
func (p *Process) stop() {
	_ = p.cmd.Process.Signal(p.spec.end)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// until asks again and again until the answer is yes; it ends with an error when ctx or the process does.
func (p *Process) until(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s of %s: %w; its last words:\n%s", what, p.Name, context.Cause(ctx), p.tail())
		case <-p.ended:
			return p.check()
		case <-tick.C:
		}
	}
	return nil
}
