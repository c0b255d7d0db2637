// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed boot.sh
var bootScript string

// Bounds of a start and of an end.
const (
	bootWithin = 2 * time.Minute
	endWithin  = 20 * time.Second
	pause      = 50 * time.Millisecond
)

// Machine is a Debian that runs.
type Machine struct {
	dir     string
	unshare *exec.Cmd
	ended   chan struct{} // closed once unshare has
	log     *os.File
	first   int // its first process, as this machine counts
	cgroups []string
}

// Boot starts a machine on a file system that [FileSystem] has made, and returns when systemd has started everything. What the machine writes is kept
// in memory and lost with it. It sees the folder stage as /stage, and may read there.
func Boot(ctx context.Context, fileSystem, stage string) (m *Machine, err error) {
	m = &Machine{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("boot a machine: %w", err), m.Close())
		}
	}()
	if m.dir, err = os.MkdirTemp("", "machine-"); err != nil {
		return m, err
	}
	if err := os.Mkdir(m.path("root"), 0o700); err != nil {
		return m, err
	}
	mounts, err := m.makeCgroups()
	if err != nil {
		return m, err
	}
	if err := os.WriteFile(m.path("root.mounts"), []byte(mounts), 0o600); err != nil {
		return m, err
	}
	if m.log, err = os.Create(m.path("console")); err != nil {
		return m, err
	}
	// The shell joins the cgroups first, so that the new cgroup namespace begins there.
	join := `for g in $CGROUPS; do echo $$ >"$g/cgroup.procs"; done; exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child bash -c "$BOOT" boot "$@"`
	m.unshare = exec.Command("bash", "-euc", join, "join", fileSystem, m.path("root"), stage)
	m.unshare.Env = append(os.Environ(), "CGROUPS="+strings.Join(m.cgroups, " "), "BOOT="+bootScript)
	m.unshare.Stdout, m.unshare.Stderr = m.log, m.log
	m.unshare.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := m.unshare.Start(); err != nil {
		m.unshare = nil
		return m, err
	}
	m.ended = make(chan struct{})
	go func() { _ = m.unshare.Wait(); close(m.ended) }()
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := m.await(ctx); err != nil {
		console, _ := os.ReadFile(m.path("console"))
		return m, fmt.Errorf("%w; its console says:\n%s", err, bytes.TrimSpace(console))
	}
	return m, nil
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// await waits for the first process to be systemd, and for systemd to be through.
func (m *Machine) await(ctx context.Context) error {
	own := strconv.Itoa(m.unshare.Process.Pid)
	for {
		if children, err := os.ReadFile("/proc/" + own + "/task/" + own + "/children"); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil {
				m.first = pid
			}
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", m.first)); err == nil && strings.HasSuffix(exe, "/systemd") {
			state, err := m.Run(ctx, "systemctl is-system-running --wait || true")
			if err == nil && (strings.Contains(state, "running") || strings.Contains(state, "degraded")) {
				return nil
			}
		}
		select {
		case <-m.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return fmt.Errorf("it has not started everything: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Run types a script into a shell of the machine, and returns what it writes.
func (m *Machine) Run(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(m.first), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w", "--", "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Network runs a program of the machine that the test runs on, in the machine's network.
func (m *Machine) Network(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.first), "-n", "--"}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Close ends the machine, with everything in it.
func (m *Machine) Close() error {
	if m.unshare != nil {
		_ = syscall.Kill(m.unshare.Process.Pid, syscall.SIGKILL) // the kernel ends its child with it, and with that one all others
		<-m.ended
	}
	if m.log != nil {
		_ = m.log.Close()
	}
	err := m.removeCgroups()
	if m.dir != "" {
		err = errors.Join(err, os.RemoveAll(m.dir))
	}
	return err
}

// makeCgroups makes a cgroup for the machine in every hierarchy, and returns how these are mounted.
func (m *Machine) makeCgroups() (mounts string, err error) {
	all, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(all)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "cgroup" && f[2] != "cgroup2" || !strings.HasPrefix(f[1], "/sys/fs/cgroup") {
			continue
		}
		mounts += line
		dir := filepath.Join(f[1], filepath.Base(m.dir))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		m.cgroups = append(m.cgroups, dir)
		if !slices.Contains(strings.Split(f[3], ","), "cpuset") {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // empty at first, and then nothing may join
			text, err := os.ReadFile(filepath.Join(f[1], file))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), text, 0)
			}
			if err != nil {
				return "", err
			}
		}
	}
	return mounts, nil
}

// removeCgroups removes what makeCgroups made and what the machine has made below. Processes may take a moment to be gone.
func (m *Machine) removeCgroups() error {
	var err error
	for deadline := time.Now().Add(endWithin); time.Now().Before(deadline); time.Sleep(pause) {
		err = nil
		for _, top := range m.cgroups {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				if e := os.Remove(dir); e != nil && !errors.Is(e, fs.ErrNotExist) {
					err = fmt.Errorf("remove the machine's cgroups: %w", e)
				}
			}
		}
		if err == nil {
			return nil
		}
	}
	return err
}
