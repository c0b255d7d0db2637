// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Bounds of the pauses between starts, and how long a start has to last for the pauses to begin anew.
const (
	firstRestart = 200 * time.Millisecond
	lastRestart  = 30 * time.Second
	lasting      = time.Minute
	// farewell is the time between asking the program to end and ending it.
	farewell = 3 * time.Second
)

// Supervisor keeps a NetManager running whose API is on a Unix socket. One that answers there already, such as that of a NodeEngine which
// was killed, is left alone until it answers no more.
type Supervisor struct {
	// Program is the path of NetManager, see [FindProgram]; Args are its arguments besides the socket.
	Program string
	Args    []string
	Socket  string
	// Output gets what it logs.
	Output io.Writer
	Log    *slog.Logger
}

// FindProgram returns the path of NetManager: beside this program, else among those that can be called.
func FindProgram() (string, error) {
	const name = "NetManager"
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find NetManager: %w: install it beside NodeEngine, or start it yourself and name its port or socket with -n", err)
	}
	return path, nil
}

// Run keeps it running until ctx ends, and then has it end too; what it has attached goes on.
func (s *Supervisor) Run(ctx context.Context) {
	client := New(s.Socket)
	wait := firstRestart
	for ctx.Err() == nil {
		if _, err := client.Status(ctx); err == nil {
			pause(ctx, pollInterval)
			continue
		}
		begun := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > lasting {
			wait = firstRestart
		}
		next := wait - rand.N(wait/4)
		wait = min(wait*2, lastRestart)
		s.Log.Error("NetManager has ended; what it attached goes on", "error", err, "start_in", next)
		pause(ctx, next)
	}
}

// once runs it until it ends by itself or ctx does.
func (s *Supervisor) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.Program, append([]string{"--socket", s.Socket}, s.Args...)...)
	cmd.Stdout, cmd.Stderr = s.Output, s.Output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = farewell
	// A signal to the terminal's group is for this program, which passes it on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Program, err)
	}
	s.Log.Info("NetManager started", "program", s.Program, "pid", cmd.Process.Pid)
	err := cmd.Wait()
	if err == nil {
		err = errors.New("it ended without an error")
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
