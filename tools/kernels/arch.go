// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"fmt"
	"slices"
	"strings"
)

// Arch is a processor architecture that can be emulated.
type Arch struct {
	// Name is Go's and Debian's name, which agree for those listed in [Arches].
	Name string
	// QEMU is the emulator's program and Package what Debian calls its package.
	QEMU, Package string
	// Machine are the emulator's arguments that choose machine and processor.
	Machine []string
	// Console is the kernel's name of the machine's first serial line.
	Console string
}

// Arches returns all known architectures.
func Arches() []Arch {
	return []Arch{
		{
			Name: "amd64", QEMU: "qemu-system-x86_64", Package: "qemu-system-x86",
			// microvm would be smaller, but Debian's kernels do not find its devices under emulation. The processor is a plain one, without
			// cmpxchg16b: qemu 7.2 emulates that so that Linux 6.12, which allocates memory with it, now and then finds impossible
			// processor flags behind it and dies of a double fault.
			Machine: []string{"-M", "q35", "-cpu", "Nehalem,-cx16"}, Console: "ttyS0",
		},
		{
			Name: "arm64", QEMU: "qemu-system-aarch64", Package: "qemu-system-arm",
			// A plain ARMv8.0, as on small boards: without the atomics of 8.1, so that the JIT has to make do.
			Machine: []string{"-M", "virt", "-cpu", "cortex-a57"}, Console: "ttyAMA0",
		},
	}
}

// Release is a kernel of a distribution, whatever its architecture.
type Release struct {
	// Name is the kernel's major and minor version, which stays the same within a suite of Debian's; for backports, which move on,
	// it is "backports".
	Name string
	// Suite is where packages come from.
	Suite string
}

// Releases returns all known kernels, oldest first. The first is the least that this project supports.
func Releases() []Release {
	return []Release{
		{Name: "6.1", Suite: "bookworm"},
		{Name: "backports", Suite: "bookworm-backports"},
	}
}

// ArchByName finds an architecture.
func ArchByName(name string) (Arch, error) {
	all := Arches()
	if i := slices.IndexFunc(all, func(a Arch) bool { return a.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Arch{}, unknown("architecture", name, all, func(a Arch) string { return a.Name })
}

// ReleaseByName finds a kernel.
func ReleaseByName(name string) (Release, error) {
	all := Releases()
	if i := slices.IndexFunc(all, func(r Release) bool { return r.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Release{}, unknown("kernel", name, all, func(r Release) string { return r.Name })
}

func unknown[T any](what, name string, all []T, nameOf func(T) string) error {
	var names []string
	for _, v := range all {
		names = append(names, nameOf(v))
	}
	return fmt.Errorf("unknown %s %q: there are %s", what, name, strings.Join(names, ", "))
}
