// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is a kernel that has been fetched.
type Kernel struct {
	Release Release
	Arch    Arch
	// Version is the package's, such as "6.1.0-50-cloud-arm64".
	Version string
	// Image is the kernel's path.
	Image string
	// The packages of the kernel and of busybox.
	kernelDeb, busyboxDeb string
}

// CacheDir is where kernels are kept: $XDG_CACHE_HOME/oakestra/kernels, or what the system has instead of XDG_CACHE_HOME.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for caches: %w", err)
	}
	return filepath.Join(base, "oakestra", "kernels"), nil
}

// Fetch returns a kernel from the cache; if it is not there, or if newest, the newest one of the mirror, which the cache then has.
// An empty mirror is the one that the machine's own apt uses.
func Fetch(ctx context.Context, cache, mirror string, r Release, a Arch, newest bool) (*Kernel, error) {
	dir := filepath.Join(cache, r.Name+"-"+a.Name)
	if !newest {
		k, err := cached(dir, r, a)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return k, err
		}
	}
	if mirror == "" {
		var err error
		if mirror, err = machineMirror(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("create cache: %w", err)
	}
	fresh, err := os.MkdirTemp(cache, r.Name+"-"+a.Name+".new-")
	if err != nil {
		return nil, fmt.Errorf("create cache: %w", err)
	}
	defer os.RemoveAll(fresh) // gone already if all went well
	if err := fetchInto(ctx, fresh, mirror, r, a); err != nil {
		return nil, fmt.Errorf("fetch kernel %s for %s: %w", r.Name, a.Name, err)
	}
	// A folder is there whole or not at all.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("replace cached kernel: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return nil, fmt.Errorf("replace cached kernel: %w", err)
	}
	return cached(dir, r, a)
}

// cached finds a kernel in its folder of the cache.
func cached(dir string, r Release, a Arch) (*Kernel, error) {
	k := &Kernel{Release: r, Arch: a, Image: filepath.Join(dir, "vmlinuz"), busyboxDeb: filepath.Join(dir, "busybox.deb")}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		return nil, fmt.Errorf("read cached kernel: %w", err)
	}
	k.Version = strings.TrimSpace(string(version))
	k.kernelDeb = filepath.Join(dir, "kernel.deb")
	return k, nil
}

// fetchInto fills a folder with the packages kernel.deb and busybox.deb, the kernel vmlinuz, and its version.
func fetchInto(ctx context.Context, dir, mirror string, r Release, a Arch) error {
	work := filepath.Join(dir, "apt")
	apt, err := newApt(work, mirror, r.Suite, a.Name)
	if err != nil {
		return err
	}
	if err := apt.update(ctx); err != nil {
		return err
	}
	// The package without a version needs the one that it stands for.
	meta := "linux-image-cloud-" + a.Name
	needs, err := apt.depends(ctx, meta)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(needs, func(name string) bool { return strings.HasPrefix(name, "linux-image-") })
	if i < 0 {
		return fmt.Errorf("package %s of %s names no kernel; it needs %v", meta, r.Suite, needs)
	}
	if err := fetchAs(ctx, apt, needs[i], filepath.Join(dir, "kernel.deb")); err != nil {
		return err
	}
	if err := fetchBusybox(ctx, work, dir, mirror, a); err != nil {
		return err
	}
	version := strings.TrimPrefix(needs[i], "linux-image-")
	image := "boot/vmlinuz-" + version
	files, err := readDeb(ctx, filepath.Join(dir, "kernel.deb"), func(name string) bool { return name == image })
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return fmt.Errorf("package %s has no %s", needs[i], image)
	}
	if err := os.WriteFile(filepath.Join(dir, "vmlinuz"), files[image], 0o644); err != nil {
		return fmt.Errorf("write kernel: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte(version+"\n"), 0o644); err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return os.RemoveAll(work)
}

// busyboxSuite is the suite of the tools that tests call, whatever the kernel: backports have none.
const busyboxSuite = "bookworm"

func fetchBusybox(ctx context.Context, work, dir, mirror string, a Arch) error {
	apt, err := newApt(filepath.Join(work, "busybox"), mirror, busyboxSuite, a.Name)
	if err != nil {
		return err
	}
	if err := apt.update(ctx); err != nil {
		return err
	}
	return fetchAs(ctx, apt, "busybox-static", filepath.Join(dir, "busybox.deb"))
}

func fetchAs(ctx context.Context, apt *apt, pkg, to string) error {
	from, err := apt.download(ctx, pkg)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("keep package %s: %w", pkg, err)
	}
	return nil
}

// busybox returns the program that is ping and what else tests call.
func (k *Kernel) busybox(ctx context.Context) ([]byte, error) {
	// The package has scripts of that name, too.
	files, err := readDeb(ctx, k.busyboxDeb, func(name string) bool { return name == "bin/busybox" || name == "usr/bin/busybox" })
	if err != nil {
		return nil, err
	}
	for _, body := range files {
		return body, nil
	}
	return nil, fmt.Errorf("package %s has no busybox", k.busyboxDeb)
}
