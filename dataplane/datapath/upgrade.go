// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// takeOver gives every link that is pinned already the new programs. Where maps of another layout are pinned, those were the
// programs' until now: what they hold is copied first, and afterwards what changed meanwhile. Then they are removed. A start that is
// broken off in between leaves them, and the next does it all again.
func (d *Datapath) takeOver(current string) error {
	versions, err := filepath.Glob(filepath.Join(d.dir, "v*"))
	if err != nil {
		return fmt.Errorf("list pinned maps: %w", err)
	}
	var former []*bpf.Migration
	var old []string
	for _, dir := range versions {
		if dir == current {
			continue
		}
		m, err := bpf.NewMigration(filepath.Join(dir, bpf.MapDir), d.maps)
		if err != nil {
			return fmt.Errorf("take over %s, which another build has made: %w: go back to that build, or remove the folder and lose all flows that are open",
				dir, err)
		}
		defer m.Close()
		former, old = append(former, m), append(old, dir)
		d.log.Info("taking over the maps of another layout", "dir", dir)
	}
	for _, m := range former {
		if err := m.Copy(); err != nil {
			return err
		}
	}
	if err := d.hooks.upgrade(d.programs()); err != nil {
		return err
	}
	for _, m := range former {
		if err := m.CatchUp(); err != nil {
			return err
		}
	}
	var errs []error
	for _, dir := range old {
		errs = append(errs, os.RemoveAll(dir))
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Warn("cannot remove pinned maps of another layout", "error", err)
	}
	return nil
}
