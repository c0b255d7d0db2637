// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
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
// firewalls of the host, reserved ports. It refuses while a NetManager runs or a container is attached. The state folder stays, so
// that the worker is the same when it comes back. What is gone already is no error.
func Uninstall(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
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
	return errors.Join(device.RemoveOwn(), dp.Remove(), coexist.Remove(), egress.Remove(), expose.Release(folder(cfg.StateDir).path(portsFile)))
}
