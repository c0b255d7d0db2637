// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is how the emulated machine is made.
type Machine struct {
	// CPUs is their number, MemoryMiB the memory's size.
	CPUs, MemoryMiB int
	// Nice is by how much the emulator steps back behind other programs, 0 to 19.
	Nice int
}

// DefaultMachine is enough for all tests: two processors, so that what is kept by processor shows.
func DefaultMachine() Machine { return Machine{CPUs: 2, MemoryMiB: 2048, Nice: 10} }

// boot runs a machine until it turns itself off, and copies its console to w. The context ends it.
func boot(ctx context.Context, m Machine, k *Kernel, initramfs string, w io.Writer) error {
	// panic=-1 with -no-reboot: a panic ends the emulator instead of stopping there. The kernel's log stays off the console, where it
	// would break the tests' lines.
	commandLine := "console=" + k.Arch.Console + " panic=-1 quiet loglevel=1 rdinit=/init"
	args := slices.Concat(
		[]string{"-n", strconv.Itoa(m.Nice), k.Arch.QEMU},
		k.Arch.Machine,
		[]string{
			"-accel", "tcg", "-smp", strconv.Itoa(m.CPUs), "-m", strconv.Itoa(m.MemoryMiB),
			"-no-user-config", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
			"-kernel", k.Image, "-initrd", initramfs, "-append", commandLine,
		},
		// Two network cards on one cable, whose driver runs XDP programs itself.
		[]string{"-netdev", "hubport,id=end0,hubid=0", "-device", "virtio-net-pci,netdev=end0,romfile="},
		[]string{"-netdev", "hubport,id=end1,hubid=0", "-device", "virtio-net-pci,netdev=end1,romfile="},
	)
	if _, err := exec.LookPath(k.Arch.QEMU); err != nil {
		return fmt.Errorf("find emulator: %w: apt-get install %s", err, k.Arch.Package)
	}
	cmd := exec.CommandContext(ctx, "nice", args...)
	var failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &failed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // no emulator outlives this program
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("emulate %s on %s: %w", k.Version, k.Arch.Name, context.Cause(ctx))
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("emulate %s on %s: %w: %s", k.Version, k.Arch.Name, err, strings.TrimSpace(failed.String()))
	}
	return nil
}
