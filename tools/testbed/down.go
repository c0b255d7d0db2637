// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Down ends whatever testbed there is, complete or not, and removes all that it has left but its logs. It may be repeated.
// dir is where to look for left-overs when no record says it.
func Down(ctx context.Context, dir string) error {
	unlock, err := lock(ctx, lockFile, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	return sweep(ctx, dir, true)
}

// sweep removes everything that a testbed can have left. Each part looks for itself at what is there, since the run before
// may have ended anywhere. killOwner also ends the process that the testbed goes with.
func sweep(ctx context.Context, dir string, killOwner bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	dirs := []string{dir}
	if s, err := loadState(); err == nil && s != nil {
		if s.Dir != dir {
			dirs = append(dirs, s.Dir)
		}
		if killOwner && s.Owner != nil && s.Owner.PID != os.Getpid() {
			if err := proc.Kill(ctx, *s.Owner); err != nil {
				return fmt.Errorf("end the process that the testbed goes with: %w", err)
			}
		}
	}
	groups, err := killAll(ctx, dirs)
	if err != nil {
		return err
	}
	errs := []error{removePins()}
	for _, d := range append([]string{runDir}, dirs...) {
		errs = append(errs, unmountUnder(d))
	}
	errs = append(errs, underlay.Delete(), removeCgroups(groups), removeShimSockets("*"))
	if err := errors.Join(errs...); err != nil {
		return err // records stay, for the next try
	}
	if err := os.RemoveAll(runDir); err != nil {
		return fmt.Errorf("remove %s: %w", runDir, err)
	}
	for _, d := range dirs {
		if err := (layout{d}).clear(); err != nil {
			return err
		}
	}
	return nil
}

// killAll ends every process of the testbed: those recorded, those marked, and those in its namespaces and containers. It
// returns the cgroups that containers among them were in.
func killAll(ctx context.Context, dirs []string) (groups []string, err error) {
	var spaces []string
	for _, h := range underlay.Hosts() {
		spaces = append(spaces, underlay.Path(h))
	}
	recorded, err := components()
	if err != nil {
		recorded = nil // a torn record: the marks find the processes all the same
	}
	// A process may fork while the others are being killed, so look again until none is found.
	const rounds = 20
	for range rounds {
		var ids []proc.ID
		for _, c := range recorded {
			if c.Process.State() != proc.Dead {
				ids = append(ids, c.Process)
			}
		}
		for _, d := range dirs {
			found, err := proc.Scan(proc.Marker{Env: envDir + "=" + d, MountDir: d, NetNS: spaces})
			if err != nil {
				return nil, err
			}
			ids = append(ids, found...)
		}
		if len(ids) == 0 {
			return groups, nil
		}
		for _, id := range ids {
			groups = append(groups, containerCgroups(id.PID)...)
		}
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := proc.Kill(wait, ids...)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("end the testbed's processes: %w", err)
		}
	}
	return nil, fmt.Errorf("end the testbed's processes: new ones keep appearing after %d rounds", rounds)
}
