// SPDX-License-Identifier: Apache-2.0

// Guest is process 1 of an emulated machine: it mounts what a system mounts, loads modules, runs what its plan says, prints what
// became of it, and turns the machine off.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/plan"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is process 1 of an emulated machine, nothing to be run by hand")
		os.Exit(2)
	}
	if err := work(); err != nil {
		say(plan.Event{Kind: plan.Broken, Text: err.Error()})
		printKernelLog()
	}
	say(plan.Event{Kind: plan.Done})
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("turn off:", err) // the kernel panics as process 1 ends, which ends the emulator too
	}
}

func say(e plan.Event) { fmt.Printf("%s\n", e) }

func work() error {
	if err := mounts(); err != nil {
		return err
	}
	body, err := os.ReadFile(plan.Path)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	var p plan.Plan
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	for _, path := range p.Modules {
		if err := load(path); err != nil {
			return err
		}
	}
	if err := setUpLoopback(); err != nil {
		return err
	}
	say(plan.Event{Kind: plan.Ready, Text: kernelName()})
	for i, r := range p.Runs {
		say(plan.Event{Kind: plan.Start, Run: i, Text: r.Name})
		status, err := run(r)
		if err != nil {
			say(plan.Event{Kind: plan.Broken, Run: i, Text: err.Error()})
		}
		if status != 0 {
			printKernelLog()
		}
		say(plan.Event{Kind: plan.Exit, Run: i, Status: status, Text: r.Name})
	}
	return nil
}

func mounts() error {
	for _, m := range []struct{ source, target, kind, data string }{
		{"proc", "/proc", "proc", ""},
		{"sysfs", "/sys", "sysfs", ""},
		{"devtmpfs", "/dev", "devtmpfs", ""},
		{"tmpfs", "/tmp", "tmpfs", ""},
		{"tmpfs", "/run", "tmpfs", ""},
		{"bpf", "/sys/fs/bpf", "bpf", ""},
		{"debugfs", "/sys/kernel/debug", "debugfs", ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", ""},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("create %s: %w", m.target, err)
		}
		if err := unix.Mount(m.source, m.target, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

func setUpLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// cards names the machine's network cards, for tests that need such.
func cards() string {
	var names []string
	if links, err := netlink.LinkList(); err == nil {
		for _, l := range links {
			if l.Type() == "device" && l.Attrs().Name != "lo" {
				names = append(names, l.Attrs().Name)
			}
		}
	}
	return strings.Join(names, ",")
}

func kernelName() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// run returns a run's exit status; -1 if it was killed or did not start.
func run(r plan.Run) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Args[0], r.Args[1:]...)
	cmd.Dir = r.Dir
	// Tests that measure time ask for OAK_EMULATED, tests of drivers for the names in OAK_CARDS, and who would build oak-net for OAK_NET.
	cmd.Env = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "LC_ALL=C", "OAK_EMULATED=1", "OAK_CARDS=" + cards(), "OAK_NET=" + plan.OakNet}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return -1, fmt.Errorf("%s was killed after %v", r.Name, r.Timeout)
	}
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, fmt.Errorf("run %s: %w", r.Name, err)
	}
	return 0, nil
}

// kernelLogLines is how much of the kernel's log is shown after a failure.
const kernelLogLines = 40

func printKernelLog() {
	buf := make([]byte, 1<<18)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	for _, line := range lines[max(0, len(lines)-kernelLogLines):] {
		fmt.Println("kernel:", line)
	}
}
