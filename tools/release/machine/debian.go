// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed debian.sh
var debianScript string

// packages are what the machine has: systemd, and what a root, a cluster and a worker need beside their own.
var packages = []string{"systemd", "systemd-sysv", "dbus", "adduser", "ca-certificates", "containerd", "iproute2", "nftables", "postgresql", "runc"}

// FileSystem returns the folder of a Debian, made if it is not in the cache, which takes a minute or more and a mirror. Nobody may write to it.
func FileSystem(ctx context.Context, cache string) (string, error) {
	sum := sha256.Sum256([]byte(debianScript + strings.Join(packages, ",")))
	dir := filepath.Join(cache, fmt.Sprintf("debian-%x", sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make Debian: %w", err)
	}
	work, err := os.MkdirTemp(cache, ".new-")
	if err != nil {
		return "", fmt.Errorf("make Debian: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-c", debianScript, "debian", filepath.Join(work, "root"), strings.Join(packages, ","))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("make Debian: %w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	if err := os.Rename(filepath.Join(work, "root"), dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return dir, nil // somebody else was faster
		}
		return "", fmt.Errorf("make Debian: %w", err)
	}
	return dir, nil
}
