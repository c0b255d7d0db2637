// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// OakCommand returns the oak program as a user would run it who has set the environment for this testbed. The environment holds nothing of
// the caller's, such as a proxy.
func (s *Scene) OakCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "oak"), args...) //nolint:gosec // our own program
	api := s.Testbed.API()
	cmd.Env = []string{
		"HOME=" + s.home, "PATH=/usr/bin:/bin", "LANG=C.UTF-8",
		"OAK_URL=" + api.URL, "OAK_USERNAME=" + api.Username, "OAK_PASSWORD=" + api.Password,
		"OAK_CONFIG=" + filepath.Join(s.home, "oak.json"),
	}
	return cmd
}

// Oak runs it and returns what it prints: to standard output alone, or with its remarks.
func (s *Scene) Oak(ctx context.Context, args ...string) (out, remarks string, err error) {
	cmd := s.OakCommand(ctx, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		return o.String(), e.String(), fmt.Errorf("oak %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(e.String()))
	}
	return o.String(), e.String(), nil
}
