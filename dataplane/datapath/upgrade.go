// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// takeOverLimit is how long flows that ours do not know are the former programs' at most, should this process die meanwhile.
const takeOverLimit = 30 * time.Second

// takeOver gives every link that is pinned already the new programs. Where maps of another layout are pinned, those were the
// programs' until now: what they hold is brought over first. Then they are removed. A start that is broken off in between leaves them, and
// the next does it all again.
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
	if len(former) == 0 {
		return d.hooks.upgrade(d.programs())
	}
	if err := d.replaceFormer(former); err != nil {
		return err
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

// replaceFormer goes over from the programs and maps of former builds to ours, under traffic. One link is replaced after another, and copies
// take time, so at no moment would all packets of a flow meet programs with the same maps. Therefore for a while both are on each hook, ours in
// front, and leave to those behind what no flow of theirs has:
//
//   - All flows are opened by the former programs, and are known to ours as soon as they have been copied.
//   - From one moment on, for all links the same, ours open flows. Those that were opened before and are not copied yet go on behind.
//   - When all are copied, the former programs have nothing left to do.
//
// Only a datagram of a flow that is younger than the last copies take may then be given to another instance than the flow's first ones.
func (d *Datapath) replaceFormer(former []*bpf.Migration) (err error) {
	if err := d.stopCards(); err != nil {
		return err
	}
	on := d.kernel()
	on.CardDecap = false
	interim, err := bpf.LoadInterim(d.maps, on)
	if err != nil {
		return fmt.Errorf("load the programs that work beside those of another build: %w", err)
	}
	defer interim.Close()
	for _, m := range former {
		if err := m.Copy(); err != nil {
			return err
		}
	}
	until := uint64(monotonic() + takeOverLimit)
	if err := d.maps.Takeover.Put(0, bpf.Takeover{Openers: until, Others: until}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.maps.Takeover.Put(0, bpf.Takeover{})) }()
	away, err := d.hooks.front(map[string]*ebpf.Program{kindContainer: interim.Container, kindUplinkIn: interim.UplinkIn})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, away()) }()
	// Twice: the second time is short, and so is what it leaves.
	for range 2 {
		if err := catchUp(former); err != nil {
			return err
		}
	}
	if err := d.maps.Takeover.Put(0, bpf.Takeover{Others: until}); err != nil {
		return err
	}
	awaitPrograms()
	if err := catchUp(former); err != nil {
		return err
	}
	return d.hooks.upgrade(d.programs())
}

// stopCards takes cards' programs off that take outer headers off, if an earlier start has attached such: which of two programs a packet is for
// can be told from one with its outer headers alone. [Datapath.AttachUplink] puts them back.
func (d *Datapath) stopCards() error {
	if _, err := os.Stat(filepath.Join(d.dir, tailPin)); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for the programs of cards: %w", err)
	}
	if err := d.hooks.each(ofCards, func(_ string, _ int, l link.Link) error { return l.Unpin() }); err != nil {
		return err
	}
	awaitPrograms()
	return nil
}

func catchUp(former []*bpf.Migration) error {
	for _, m := range former {
		if err := m.CatchUp(); err != nil {
			return err
		}
	}
	return nil
}

// awaitPrograms waits until every program that was running has ended: what begins later sees all that was written to maps before.
func awaitPrograms() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL waits for what programs run under, too
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(20 * time.Millisecond) // the kernel has not the call: a program runs for microseconds
	}
}
