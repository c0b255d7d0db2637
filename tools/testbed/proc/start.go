// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Spec is all that it takes to start a process again exactly as before.
type Spec struct {
	// Path is the program, Args its arguments without its name.
	Path string   `json:"path"`
	Args []string `json:"args"`
	// Env is the whole environment, NAME=VALUE each.
	Env []string `json:"env"`
	// Host is the host in whose network namespace the process runs; empty for the machine's own.
	Host string `json:"host,omitempty"`
	// Log is the file that standard output and standard error are added to.
	Log string `json:"log"`
	// UID and GID are whom the process runs as.
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid,omitempty"`
}

// Start starts a process in a session of its own and forgets it: it goes on when the caller is gone.
func Start(s Spec) (ID, error) {
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return ID{}, fmt.Errorf("open the log of %s: %w", s.Path, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.Path, s.Args...) //nolint:gosec // what to start is the testbed's own plan
	cmd.Env, cmd.Dir = s.Env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.UID, Gid: s.GID}
	}
	start := cmd.Start
	if s.Host != "" {
		start = func() error { return underlay.In(s.Host, cmd.Start) }
	}
	if err := start(); err != nil {
		return ID{}, fmt.Errorf("start %s: %w", s.Path, err)
	}
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		return ID{}, fmt.Errorf("start %s: it ended at once; its log is %s: %w", s.Path, s.Log, err)
	}
	// Reaped while the caller lives, else by init: a zombie would look like a process for as long as the caller runs.
	go func() { _ = cmd.Wait() }()
	return id, nil
}
