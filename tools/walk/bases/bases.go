// SPDX-License-Identifier: Apache-2.0

package bases

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// packages are in the Debian file system besides its smallest variant.
const packages = "ca-certificates,curl,nginx-light,postgresql"

// kept is how many file systems the cache holds.
const kept = 2

//go:embed Dockerfile debian.sh pick.sh postgres.sh nginx.conf index.html
var files embed.FS

// Images are the images that can be built of a prepared folder, each a target of its Dockerfile.
var Images = []string{"golang", "postgres", "nginx", "curl"}

// Prepare fills the empty folder dir with a Dockerfile and what it needs, so that the images are built without any network. Repository is the
// folder of the programs' source, programs the packages that are to be built. Cache is where what takes long is kept between runs; self is
// the command by which Go's build cache is served, see [ServeGoCache].
func Prepare(ctx context.Context, dir, repository, cache, self string, programs ...string) error {
	if err := PrepareSystem(ctx, dir, cache); err != nil {
		return err
	}
	if err := goTree(ctx, dir, repository, self, programs); err != nil {
		return fmt.Errorf("pack Go and the programs' modules: %w", err)
	}
	return nil
}

// PrepareSystem is [Prepare] for the images that need no Go: all but golang.
func PrepareSystem(ctx context.Context, dir, cache string) error {
	entries, err := files.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		body, err := files.ReadFile(e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), body, 0o755); err != nil {
			return fmt.Errorf("prepare base images: %w", err)
		}
	}
	debian, err := debian(ctx, dir, cache)
	if err != nil {
		return fmt.Errorf("make a Debian file system: %w", err)
	}
	if err := os.Link(debian, filepath.Join(dir, "debian.tar")); err != nil {
		if err := run(ctx, "", nil, "cp", debian, filepath.Join(dir, "debian.tar")); err != nil {
			return fmt.Errorf("prepare base images: %w", err)
		}
	}
	return nil
}

// debian returns the archive of a Debian file system, which is made if it is not in the cache.
func debian(ctx context.Context, dir, cache string) (string, error) {
	script, err := files.ReadFile("debian.sh")
	if err != nil {
		return "", err
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(script), string(release), packages, runtime.GOARCH}, "\x00")))
	name := filepath.Join(cache, "debian-"+hex.EncodeToString(sum[:8])+".tar")
	if _, err := os.Stat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp("", "oak-debian")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Chmod(work, 0o755); err != nil { // its users pass here
		return "", err
	}
	if err := run(ctx, "", nil, "bash", filepath.Join(dir, "debian.sh"), name, work, packages); err != nil {
		return "", err
	}
	return name, prune(cache)
}

// prune removes all but the newest file systems.
func prune(cache string) error {
	found, err := filepath.Glob(filepath.Join(cache, "debian-*.tar"))
	if err != nil {
		return err
	}
	for len(found) > kept {
		oldest := 0
		for i := range found {
			a, err := os.Stat(found[i])
			if err != nil {
				return err
			}
			b, err := os.Stat(found[oldest])
			if err != nil {
				return err
			}
			if a.ModTime().Before(b.ModTime()) {
				oldest = i
			}
		}
		if err := os.Remove(found[oldest]); err != nil {
			return err
		}
		found = append(found[:oldest], found[oldest+1:]...)
	}
	return nil
}

// run runs a program to its end; the error shows the end of what it has printed.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	_, err := output(ctx, dir, env, name, args...)
	return err
}

func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lastOf(errs.String(), 2000))
	}
	return string(out), nil
}

func lastOf(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
