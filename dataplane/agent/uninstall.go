// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oakestra/oakestra-ebpf/dataplane/coexist"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/egress"
	"github.com/oakestra/oakestra-ebpf/dataplane/expose"
)

// ErrContainers means that containers still need what would be taken away.
var ErrContainers = errors.New("containers are attached")

// Uninstall takes out of the kernel all that NetManagers of this worker have put there: programs and maps, devices, rules in the
// firewalls of the host, reserved ports, the uplink's routing as it was found. It refuses while a NetManager runs or a container is attached. The state folder stays, so
// that the worker is the same when it comes back. What is gone already is no error.
func Uninstall(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	locks, err := cfg.runFiles()
	if err != nil {
		return err
	}
	left, err := device.Containers()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w by %s: stop this worker's instances first", ErrContainers, strings.Join(left, ", "))
	}
	dp, err := datapath.Open(ctx, datapath.Options{BPFFS: cfg.BPFFS, Worker: cfg.Name, LockDir: cfg.RunDir, Log: cfg.Log})
	if err != nil {
		return fmt.Errorf("open the datapath: %w", err)
	}
	defer func() { _ = dp.Close() }()
	if u, err := device.FindUplink(cfg.Uplink); err == nil { // without pins, nothing else knows of the programs there
		if err := dp.Detach(u.Index); err != nil {
			return err
		}
	}
	err = errors.Join(device.RemoveOwn(), dp.Remove(), coexist.Remove(), egress.Remove(), expose.Release(folder(cfg.StateDir).path(portsFile)),
		restoreRouting(folder(cfg.StateDir)))
	if err != nil {
		return err
	}
	return removeFiles(locks)
}

// runFiles lists what NetManagers of this worker leave in the run folder: locks, tokens, the socket.
func (c *Config) runFiles() ([]string, error) {
	tokens, err := filepath.Glob(filepath.Join(c.RunDir, "netmanager-"+c.Name+"-*.token"))
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return append(append(tokens, c.Socket), datapath.LockFiles(c.RunDir, c.Name)...), nil
}

// removeFiles removes files, and their folders if nothing is left in them.
func removeFiles(paths []string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what does not outlive a reboot anyway: %w", err)
		}
	}
	for _, path := range paths {
		_ = os.Remove(filepath.Dir(path)) // stays if it is not empty
	}
	return nil
}

// noteRouting keeps what the kernel says of routing on a device before the first change of it.
func (a *Agent) noteRouting(uplink string) error {
	known := device.Routing{}
	if _, err := a.state.read(routingFile, &known); err != nil {
		return err
	}
	if !known.Add(device.RoutingOf(uplink)) {
		return nil
	}
	return a.state.write(routingFile, known)
}

// restoreRouting gives back what was noted.
func restoreRouting(state folder) error {
	known := device.Routing{}
	if found, err := state.read(routingFile, &known); err != nil || !found {
		return err
	}
	if err := known.Restore(); err != nil {
		return err
	}
	return removeFiles([]string{state.path(routingFile)})
}
