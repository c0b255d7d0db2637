// SPDX-License-Identifier: Apache-2.0

// Package cli owns the command oak-kernels: its flags and what it prints.
//
// It knows nothing of packages, archives and emulators.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/kernels"
)

// Packages are those whose tests say something of the kernel that they run on: programs, what attaches them, what speaks with the
// kernel about devices, namespaces and filters. NetManager as a whole is not among them: its tests build networks with NAT and firewalls,
// which take modules and programs that the guests have not, and hold it to times that no emulation keeps.
func Packages() []string {
	return []string{
		"./bpf", "./bpf/probe", "./dataplane/datapath", "./dataplane/device", "./dataplane/endpoint", "./dataplane/egress",
		"./dataplane/upcall", "./dataplane/peer", "./dataplane/routes",
	}
}

type options struct {
	kernels, arches     []string
	mirror, cache, logs string
	run                 string
	timeout             time.Duration
	newest              bool
	machine             kernels.Machine
}

// Command returns the command; out gets its results, progress what it is doing.
func Command(out, progress io.Writer) *cobra.Command {
	o := options{machine: kernels.DefaultMachine()}
	var kernelNames, archNames []string
	for _, r := range kernels.Releases() {
		kernelNames = append(kernelNames, r.Name)
	}
	for _, a := range kernels.Arches() {
		archNames = append(archNames, a.Name)
	}
	cmd := &cobra.Command{
		Use:   "oak-kernels [PACKAGE…]",
		Short: "Run tests on other kernels and architectures, under emulation",
		Long: `Fetches Debian's cloud kernels, cross-compiles the tests of the given packages, boots each kernel under qemu with nothing but these
tests, and shows how they went. It needs apt, dpkg, qemu-system-x86 and qemu-system-arm, but neither root nor KVM.

Packages are paths below the module's root; without any: ` + strings.Join(Packages(), " ") + `.
Every flag can be set by an environment variable too: --cache-dir is OAK_KERNELS_CACHE_DIR.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd.Context(), args, out, progress)
		},
	}
	cmdline.Program{Prefix: "OAK_KERNELS_"}.Adopt(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.kernels, "kernel", kernelNames, "kernels to run on")
	f.StringSliceVar(&o.arches, "arch", archNames, "architectures to run on")
	f.StringVar(&o.mirror, "mirror", "", "Debian mirror to fetch kernels from (default: the one that this machine's apt uses)")
	f.StringVar(&o.cache, "cache-dir", "", "folder to keep kernels in (default: oakestra/kernels in the user's cache folder)")
	f.StringVar(&o.logs, "log-dir", "", "folder to write consoles to (default: none are kept)")
	f.StringVar(&o.run, "run", "", "run only the tests whose names match this pattern")
	f.DurationVar(&o.timeout, "timeout", 30*time.Minute, "break a package's tests off after this time")
	f.BoolVar(&o.newest, "update", false, "fetch the newest kernels even if the cache has some")
	f.IntVar(&o.machine.CPUs, "cpus", o.machine.CPUs, "processors of the emulated machine")
	f.IntVar(&o.machine.MemoryMiB, "memory", o.machine.MemoryMiB, "memory of the emulated machine in MiB")
	f.IntVar(&o.machine.Nice, "nice", o.machine.Nice, "by how much the emulator steps back behind other programs, 0 to 19")
	return cmd
}

// do runs every kernel on every architecture, and fails if any test did, but not before all have run.
func (o *options) do(ctx context.Context, packages []string, out, progress io.Writer) error {
	if len(packages) == 0 {
		packages = Packages()
	}
	var tests []kernels.Test
	for _, p := range packages {
		tests = append(tests, kernels.Test{Package: localPath(p), Run: o.run, Timeout: o.timeout})
	}
	if o.cache == "" {
		var err error
		if o.cache, err = kernels.CacheDir(); err != nil {
			return err
		}
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, kernel := range o.kernels {
		for _, arch := range o.arches {
			ok, err := o.one(ctx, root, kernel, arch, tests, out, progress)
			if err != nil {
				fmt.Fprintf(out, "%s %s: %v\n", kernel, arch, err)
			}
			if !ok || err != nil {
				failed++
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("tests failed on %d of %d kernels", failed, len(o.kernels)*len(o.arches))
	}
	return nil
}

// localPath makes "bpf" "./bpf", as the go command wants it.
func localPath(pkg string) string {
	return "./" + filepath.ToSlash(filepath.Clean(pkg))
}

func (o *options) one(ctx context.Context, root, kernel, arch string, tests []kernels.Test, out, progress io.Writer) (ok bool, err error) {
	r, err := kernels.ReleaseByName(kernel)
	if err != nil {
		return false, err
	}
	a, err := kernels.ArchByName(arch)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(progress, "kernel %s, %s: fetching it if it is not there\n", kernel, arch)
	k, err := kernels.Fetch(ctx, o.cache, o.mirror, r, a, o.newest)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(progress, "kernel %s: building and running the tests of %d packages\n", k.Version, len(tests))
	log, closeLog, err := o.log(kernel + "-" + arch + ".log")
	if err != nil {
		return false, err
	}
	report, err := kernels.Run(ctx, root, o.machine, k, tests, log)
	if closed := closeLog(); err == nil && closed != nil {
		err = fmt.Errorf("write console: %w", closed)
	}
	return show(out, report), err
}

func (o *options) log(name string) (io.Writer, func() error, error) {
	if o.logs == "" {
		return io.Discard, func() error { return nil }, nil
	}
	if err := os.MkdirAll(o.logs, 0o755); err != nil {
		return nil, nil, fmt.Errorf("create folder of consoles: %w", err)
	}
	f, err := os.Create(filepath.Join(o.logs, name))
	if err != nil {
		return nil, nil, fmt.Errorf("create console's file: %w", err)
	}
	return f, f.Close, nil
}

// moduleRoot is the folder of this repository, which the command is run in or below.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("find the module's root: the working folder is in no Go module: run this in the repository")
	}
	return filepath.Dir(mod), nil
}
