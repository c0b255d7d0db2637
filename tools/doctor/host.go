// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// hostChecks are about the kernel and what the machine has.
func hostChecks() []examination {
	worker := []Role{Worker}
	return []examination{
		{"privilege", "whether this runs as root, and it and the programs that run here have the capabilities that they need", worker, false, checkPrivilege},
		{"kernel", "the kernel's version against 6.1, the oldest that is tested; whether these programs are emulated; whether BPF programs are compiled (net.core.bpf_jit_enable)", worker, false, checkKernel},
		{"kernel features", "each feature that the dataplane wants of the kernel, asked by use, and what it does without", worker, false, checkFeatures},
		{"programs load", "whether the kernel takes NetManager's programs, while NetManager does not run; on 32-bit ARM this is what tells whether the dataplane can run", worker, false, checkLoad},
		{"btf", "whether the kernel tells of its types (/sys/kernel/btf/vmlinux)", worker, false, checkBTF},
		{"bpffs", "whether a BPF file system is mounted where NetManager pins maps and links", worker, false, checkBPFFS},
		{"cgroups", "whether the controllers cpu, memory and pids are there, version 1, 2 or both, and may be given to containers", worker, false, checkCgroups},
		{"containerd", "whether containerd answers, its version, and whether it has a snapshotter", worker, true, checkContainerd},
		{"disk", "space and inodes where state is kept and, of a worker, where containerd keeps images", Roles(), true, checkDisk},
		{"memory", "how much memory is available", Roles(), false, checkMemory},
		{"netcfg.json", "whether the file can be read, and each key means something", worker, true, checkNetcfg},
		{"secrets key", "whether root's key of secrets can be read by its owner alone", []Role{Root}, true, checkSecretsKey},
	}
}

func checkKernel(_ context.Context, _ *machine, c *collector) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		c.skip("%v", err)
		return
	}
	release := unix.ByteSliceToString(u.Release[:])
	if real, ours := machineArch(), runtime.GOARCH; emulated(real, ours) {
		c.found("emulated", nil, "this program is for %s, and the kernel's machine is %s: it is emulated", ours, real)
	}
	if older(release, probe.LeastKernel) {
		c.found("kernel-old", nil, "Linux %s is older than %s", release, probe.LeastKernel)
	}
	if jit, err := os.ReadFile("/proc/sys/net/core/bpf_jit_enable"); err == nil && strings.TrimSpace(string(jit)) == "0" {
		c.found("bpf-jit-off", nil, "BPF programs are interpreted on this kernel: net.core.bpf_jit_enable is 0")
	}
	c.note("Linux %s on %s", release, runtime.GOARCH)
}

// machineArch is what the kernel itself is compiled for, which emulators do not hide; "" before Linux 6.1.
func machineArch() string {
	text, err := os.ReadFile("/proc/sys/kernel/arch")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// emulated reports whether a kernel for one machine cannot run programs for another by itself.
func emulated(machine, goarch string) bool {
	runs := map[string][]string{
		"x86_64": {"amd64", "386"}, "aarch64": {"arm64", "arm"}, "i686": {"386"}, "i586": {"386"}, "armv7l": {"arm"}, "armv6l": {"arm"}, "armv8l": {"arm"},
	}
	mine, known := runs[machine]
	return known && !slices.Contains(mine, goarch)
}

// older reports whether a kernel's release comes before a version.
func older(release, version string) bool {
	var a, b [2]int
	if _, err := fmt.Sscanf(release, "%d.%d", &a[0], &a[1]); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(version, "%d.%d", &b[0], &b[1]); err != nil {
		return false
	}
	return slices.Compare(a[:], b[:]) < 0
}

func checkFeatures(_ context.Context, _ *machine, c *collector) {
	r, err := probe.Kernel()
	switch {
	case errors.Is(err, probe.ErrKernel):
		for _, f := range r.Features {
			if !f.Found && f.Fallback == "" {
				c.found("kernel-feature", nil, "Linux %s lacks %s (%s), which Linux %s has, and nothing stands in for it", r.Kernel, f.Name, f.Use, f.Least)
			}
		}
	case errors.Is(err, unix.ENOSYS):
		c.found("bpf-missing", nil, "there is no system call bpf here: %v", err)
	case errors.Is(err, unix.EPERM):
		c.skip("the kernel does not let this process ask: %v", err)
	case err != nil:
		c.found("kernel-unknown", nil, "what the kernel can do cannot be found out: %v", err)
	}
	without := make([]string, 0, len(r.Features))
	for _, f := range r.Fallbacks() {
		without = append(without, f.Name+" ("+f.Fallback+")")
	}
	if len(without) == 0 {
		c.note("all %d are there", len(r.Features))
	} else {
		c.note("%d of %d are there; instead of %s", len(r.Features)-len(without), len(r.Features), strings.Join(without, ", of "))
	}
}

func checkBTF(_ context.Context, _ *machine, c *collector) {
	const file, magic = "/sys/kernel/btf/vmlinux", 0xeb9f
	f, err := os.Open(file)
	if errors.Is(err, os.ErrPermission) {
		c.skip("%v", err)
		return
	}
	var head [2]byte
	if err == nil {
		defer func() { _ = f.Close() }()
		_, err = f.Read(head[:])
	}
	if err != nil || binary.NativeEndian.Uint16(head[:]) != magic {
		c.found("btf-missing", nil, "the kernel does not tell of its types: %s is missing or empty", file)
		return
	}
	c.note("%s is there", file)
}

func checkBPFFS(_ context.Context, m *machine, c *collector) {
	path := m.bpffs()
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	switch {
	case errors.Is(err, os.ErrPermission):
		c.skip("%v", err)
	case err != nil:
		c.found("bpffs-missing", fill{"path", path}, "no BPF file system is mounted at %s: %v", path, err)
	case uint32(fs.Type) != unix.BPF_FS_MAGIC:
		c.found("bpffs-missing", fill{"path", path}, "no BPF file system is mounted at %s", path)
	case fs.Flags&unix.ST_RDONLY != 0:
		c.found("bpffs-missing", fill{"path", path}, "the BPF file system at %s is read-only", path)
	default:
		c.note("mounted at %s", path)
	}
}

// controllers are those by which limits of services are kept.
var controllers = []string{"cpu", "memory", "pids"}

func checkCgroups(_ context.Context, _ *machine, c *collector) {
	const root = "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil {
		c.found("cgroup-controller", fill{"controllers", strings.Join(controllers, ",")}, "no cgroup file system is mounted at %s: %v", root, err)
		return
	}
	if uint32(fs.Type) == unix.CGROUP2_SUPER_MAGIC {
		checkUnified(root, fs.Flags&unix.ST_RDONLY != 0, c)
		return
	}
	have, readOnly, unified := mountedControllers()
	for _, want := range controllers {
		if !slices.Contains(have, want) {
			c.found("cgroup-controller", fill{"controllers", want}, "the cgroup controller %s is not mounted (version 1)", want)
		} else if slices.Contains(readOnly, want) {
			c.found("cgroup-delegation", nil, "the hierarchy of the cgroup controller %s is mounted read-only", want)
		}
	}
	version := "version 1"
	if unified {
		version = "versions 1 and 2 beside one another"
	}
	c.note("%s, with %s", version, strings.Join(have, ","))
}

func checkUnified(root string, readOnly bool, c *collector) {
	raw, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		c.skip("%v", err)
		return
	}
	have := strings.Fields(string(raw))
	for _, want := range controllers {
		if !slices.Contains(have, want) {
			c.found("cgroup-controller", fill{"controllers", want}, "the cgroup controller %s is not there (version 2)", want)
		}
	}
	given, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	// The one cgroup that has no type is the kernel's own root, where controllers may be given on at any time.
	inner := exists(filepath.Join(root, "cgroup.type"))
	for _, want := range controllers {
		if inner && slices.Contains(have, want) && !slices.Contains(strings.Fields(string(given)), want) {
			c.found("cgroup-delegation", nil, "this machine is itself in a cgroup, which does not give the controller %s on", want)
		}
	}
	if readOnly {
		c.found("cgroup-delegation", nil, "%s is mounted read-only", root)
	}
	c.note("version 2, with %s", strings.Join(have, ","))
}

// mountedControllers lists the controllers of version 1, those that are read-only, and whether version 2 is mounted too.
func mountedControllers() (have, readOnly []string, unified bool) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, nil, false
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		const kind, options = 2, 3
		fields := strings.Fields(lines.Text())
		if len(fields) <= options {
			continue
		}
		unified = unified || fields[kind] == "cgroup2"
		if fields[kind] != "cgroup" {
			continue
		}
		all := strings.Split(fields[options], ",")
		for _, o := range all {
			if slices.Contains(controllers, o) {
				have = append(have, o)
				if slices.Contains(all, "ro") {
					readOnly = append(readOnly, o)
				}
			}
		}
	}
	return have, readOnly, unified
}

func checkMemory(_ context.Context, m *machine, c *collector) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		c.skip("%v", err)
		return
	}
	value := func(name string) int {
		for line := range strings.Lines(string(raw)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
				n, _ := strconv.Atoi(f[1])
				return n / 1024
			}
		}
		return -1
	}
	total, available := value("MemTotal"), value("MemAvailable")
	least := map[Role]int{Root: 64, Cluster: 96, Worker: 128}[m.role]
	if available >= 0 && available < least {
		c.found("memory-low", nil, "%d MiB of memory are available, of %d", available, total)
		return
	}
	c.note("%d MiB are available, of %d", available, total)
}

func checkNetcfg(_ context.Context, m *machine, c *collector) {
	f, path, err := m.netcfg()
	values := fill{"file", path}
	switch {
	case errors.Is(err, os.ErrPermission):
		c.skip("%v", err)
		return
	case err != nil:
		c.found("netcfg-wrong", values, "%v", err)
		return
	}
	for _, text := range f.Warnings {
		c.found("netcfg-unknown-key", values, "%s: %s", path, text)
	}
	if !exists(path) {
		c.note("there is none, and none is needed")
		return
	}
	c.note("%s is understood", path)
}

func checkSecretsKey(_ context.Context, m *machine, c *collector) {
	path := m.own.get("secrets-key-file", "", "/var/lib/oakestra/root/secrets.key")
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.skip("there is none yet in %s: root makes it at its first start", path)
	case err != nil:
		c.skip("%v", err)
	case st.Mode().Perm()&0o077 != 0:
		c.found("secrets-key-open", fill{"file", path}, "others than its owner can read or write %s (mode %o)", path, st.Mode().Perm())
	default:
		c.note("%s is its owner's alone", path)
	}
}
