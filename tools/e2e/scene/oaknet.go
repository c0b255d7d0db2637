// SPDX-License-Identifier: Apache-2.0

package scene

import (
	"context"
	"path/filepath"
)

// OakNet runs oak-net for a worker: it reads the maps that the worker's NetManager has pinned.
func (s *Scene) OakNet(ctx context.Context, worker string, args ...string) (string, error) {
	argv := append([]string{filepath.Join(s.bin, "oak-net"), "--bpffs", "/sys/fs/bpf"}, args...)
	out, err := s.Testbed.Run(ctx, worker, argv...)
	return string(out), err
}
