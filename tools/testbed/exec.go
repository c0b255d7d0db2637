// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/oci"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Exec replaces the calling process by a command on host: in its network namespace, with the caller's files, terminal and
// environment. It returns only on an error.
func (t *Testbed) Exec(host string, argv []string) error {
	if _, err := t.Host(host); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("find command %q: %w", argv[0], err)
	}
	runtime.LockOSThread() // the thread that calls execve is the one whose namespace the new program gets
	if err := underlay.Enter(host); err != nil {
		return err
	}
	if err := syscall.Exec(path, argv, t.environ(host)); err != nil { //nolint:gosec // the user's command
		return fmt.Errorf("run %s: %w", path, err)
	}
	return nil
}

// Run runs a command on host and returns what it has printed to standard output; an error has the rest.
func (t *Testbed) Run(ctx context.Context, host string, argv ...string) ([]byte, error) {
	if _, err := t.Host(host); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the caller's command
	cmd.Env = t.environ(host)
	return output(cmd, func() error { return underlay.In(host, cmd.Start) })
}

// environ is that of commands on a host: the caller's, and where the host's programs have their sockets, so that `NodeEngine status` and
// `NetManager status` find them.
func (t *Testbed) environ(host string) []string {
	return append(os.Environ(), envDir+"="+t.state.Dir, envHost+"="+host,
		"OAK_NODEENGINE_RUN_DIR="+run(host, progEngine),
		"OAK_NETMANAGER_RUN_DIR="+run(host, progNet), "OAK_NETMANAGER_SOCKET="+NetManagerSocket(host))
}

// Image makes a one-layer image of a root file system, pushes it to the testbed's registry and returns its reference.
func (t *Testbed) Image(ctx context.Context, name, rootfs string, cmd []string) (string, error) {
	return oci.Push(ctx, t.state.Registry, name, rootfs, cmd)
}
