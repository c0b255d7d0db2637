// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// InstallPackager builds nfpm into a folder, from where Go keeps modules or gets them, and returns its path.
func InstallPackager(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "install", Nfpm)
	cmd.Dir = dir // outside of this module, which does not know it
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "GOARCH" || name == "GOOS"
	}), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch %s: %w:\n%s", Nfpm, err, bytes.TrimSpace(out))
	}
	return filepath.Join(dir, "nfpm"), nil
}
