// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/plan"
)

// The program that runs as process 1, and the one that tests look at the datapath with.
const (
	guestPackage  = "./tools/kernels/guest"
	oakNetPackage = "./tools/cmd/oak-net"
)

// goTool runs the go command for an architecture, without cgo, so that what it makes needs no library.
func goTool(ctx context.Context, root string, arch Arch, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch.Name, "CGO_ENABLED=0")
	var failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &failed, &failed
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s for %s: %w: %s", strings.Join(args, " "), arch.Name, err, strings.TrimSpace(failed.String()))
	}
	return nil
}

// addPrograms puts the init program and oak-net into the archive.
func addPrograms(ctx context.Context, a *archive, root, dir string, arch Arch) error {
	for name, pkg := range map[string]string{"init": guestPackage, strings.TrimPrefix(plan.OakNet, "/"): oakNetPackage} {
		out := filepath.Join(dir, filepath.Base(name)+"-"+arch.Name)
		if err := goTool(ctx, root, arch, "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg); err != nil {
			return err
		}
		if err := addFile(a, name, out); err != nil {
			return err
		}
	}
	return nil
}

// addTest puts a package's tests into the archive, and beside them the package's testdata.
func addTest(ctx context.Context, a *archive, root, dir string, arch Arch, pkg string) error {
	name := testName(pkg)
	out := filepath.Join(dir, name+"-"+arch.Name+".test")
	if err := goTool(ctx, root, arch, "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg); err != nil {
		return err
	}
	if err := addFile(a, testPath(pkg), out); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("package %s has no tests", pkg)
		}
		return err
	}
	data := filepath.Join(root, filepath.FromSlash(pkg), "testdata")
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		return addFile(a, testDir(pkg)+"/testdata/"+filepath.ToSlash(rel), path)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pack the testdata of %s: %w", pkg, err)
	}
	return nil
}

// testDir is the guest's folder of a package, whose path is relative to the module's root.
func testDir(pkg string) string { return "/test/" + strings.TrimPrefix(pkg, "./") }

func testPath(pkg string) string { return testDir(pkg) + "/" + testName(pkg) + ".test" }

// testName is a package's path as one word.
func testName(pkg string) string { return strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-") }

func addFile(a *archive, name, from string) error {
	body, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	a.add(name, info.Mode(), body)
	return nil
}
