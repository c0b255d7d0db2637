// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/plan"
)

// Modules returns what the dataplane needs of a kernel that builds it as modules: the links, the tc hooks without tcx, and
// masquerading. That they all can be loaded shows that this list is right for the kernel.
func Modules() []string {
	return []string{
		"crc32c_generic", // libcrc32c asks the crypto layer for it by name
		"veth", "vxlan", "dummy", "virtio_pci", "virtio_net",
		"sch_ingress", "cls_bpf",
		"nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct",
		"af_packet",
	}
}

// Test is a package whose tests are to run.
type Test struct {
	// Package is its path relative to the module's root, such as "./bpf".
	Package string
	// Run, if not empty, is the pattern of the tests to run, as go test's -run has it.
	Run string
	// Timeout is when its tests are broken off.
	Timeout time.Duration
}

// applets are the commands that tests call.
var applets = []string{"ping", "sh", "ip"}

// build writes an initial RAM file system that runs the tests to dir, and returns its path.
func build(ctx context.Context, root, dir string, k *Kernel, tests []Test) (string, error) {
	a := newArchive()
	if err := addPrograms(ctx, a, root, dir, k.Arch); err != nil {
		return "", err
	}
	busybox, err := k.busybox(ctx)
	if err != nil {
		return "", err
	}
	a.add("bin/busybox", 0o755, busybox)
	for _, name := range applets {
		a.link("bin/"+name, "busybox")
	}
	var p plan.Plan
	if p.Modules, err = addModules(ctx, a, k); err != nil {
		return "", err
	}
	for _, t := range tests {
		if err := addTest(ctx, a, root, dir, k.Arch, t.Package); err != nil {
			return "", err
		}
		args := []string{testPath(t.Package), "-test.v=test2json", "-test.timeout=" + t.Timeout.String()}
		if t.Run != "" {
			args = append(args, "-test.run="+t.Run)
		}
		// The test breaks itself off and says where it stood; only if it cannot it is killed.
		p.Runs = append(p.Runs, plan.Run{Name: t.Package, Args: args, Dir: testDir(t.Package), Timeout: t.Timeout + killAfter})
	}
	body, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode plan: %w", err)
	}
	a.add(plan.Path, 0o644, body)
	out := filepath.Join(dir, "initramfs")
	return out, writeArchive(a, out)
}

// killAfter is how much longer than its own time-out a test may take.
const killAfter = 10 * time.Second

func addModules(ctx context.Context, a *archive, k *Kernel) ([]string, error) {
	m, err := k.readModules(ctx)
	if err != nil {
		return nil, err
	}
	order, err := m.pick(ctx, Modules())
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range order {
		body, err := m.body(ctx, name)
		if err != nil {
			return nil, err
		}
		path := "/modules/" + name + ".ko"
		a.add(path, 0o644, body)
		paths = append(paths, path)
	}
	return paths, nil
}

func writeArchive(a *archive, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create initial RAM file system: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = a.writeTo(w)
	if err == nil {
		err = w.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write initial RAM file system: %w", err)
	}
	return nil
}
