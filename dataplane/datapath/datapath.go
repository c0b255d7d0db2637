// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// DefaultBPFFS is where distributions mount the BPF file system.
const DefaultBPFFS = "/sys/fs/bpf"

// tailPin is the file name, in a worker's folder of pins, of what keeps a part of the uplinks' programs alive.
const tailPin = "card_next"

// Options say where a worker's datapath is pinned.
type Options struct {
	// BPFFS is the mount point of a BPF file system; [DefaultBPFFS] if empty.
	BPFFS string
	// Worker names the folder of pins, so that several workers can share a machine.
	Worker string
	// LockDir holds the lock that keeps a second NetManager out; /run/oakestra if empty.
	LockDir string
	// Without names features that are to be done without where the kernel has them too.
	Without []string
	// CardDecap has the programs on cards take the outer headers off peers' packets.
	CardDecap bool
	Log       *slog.Logger

	cards cards
}

// Datapath is the loaded datapath of one worker.
type Datapath struct {
	dir    string // <bpffs>/oakestra/<worker>
	maps   *bpf.Maps
	progs  *bpf.Programs
	hooks  hooks
	record sync.Mutex
	found  features.Record // under record
	locks  []*os.File
	resets *resetter // nil before AttachUpcall
	log    *slog.Logger
}

// WorkerDir returns the folder that holds all pins of a worker.
func WorkerDir(bpffs, worker string) string {
	if bpffs == "" {
		bpffs = DefaultBPFFS
	}
	return filepath.Join(bpffs, "oakestra", worker)
}

// MapDir returns the folder that holds the pinned maps of this build's version.
func MapDir(bpffs, worker string) (string, error) {
	version, err := bpf.Version()
	if err != nil {
		return "", err
	}
	return filepath.Join(WorkerDir(bpffs, worker), "v"+version, bpf.MapDir), nil
}

// Open loads the programs over the worker's pinned maps, which it creates if there are none, and gives every link that is pinned
// already the new program: one atomic replacement each, without a packet lost. It returns [ErrRunning] if another NetManager is at
// work.
func Open(_ context.Context, o Options) (*Datapath, error) {
	locks, err := takeLocks(o)
	if err != nil {
		return nil, err
	}
	d, err := open(o)
	if err != nil {
		return nil, errors.Join(err, release(locks))
	}
	d.locks = locks
	return d, nil
}

func open(o Options) (*Datapath, error) {
	if o.BPFFS == "" {
		o.BPFFS = DefaultBPFFS
	}
	if err := checkBPFFS(o.BPFFS); err != nil {
		return nil, err
	}
	// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; later ones ignore this.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	mapDir, err := MapDir(o.BPFFS, o.Worker)
	if err != nil {
		return nil, err
	}
	d := &Datapath{dir: WorkerDir(o.BPFFS, o.Worker), log: o.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(mapDir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder of pinned maps: %w", err)
	}
	if d.found, err = probe.Kernel(o.Without...); err != nil {
		return nil, err
	}
	d.hooks = hooks{dir: filepath.Join(d.dir, "links"), tcx: d.found.Uses(probe.TCX), cards: o.cards, cardDecaps: o.CardDecap, log: d.log}
	if d.progs, d.maps, err = bpf.Load(mapDir, d.kernel()); err != nil {
		return nil, fmt.Errorf("load datapath over %s: %w", mapDir, err)
	}
	if err := d.takeOver(filepath.Dir(mapDir)); err != nil {
		d.closeObjects()
		return nil, err
	}
	if err := d.progs.PinTail(filepath.Join(d.dir, tailPin)); err != nil {
		d.closeObjects()
		return nil, err
	}
	d.tellFeatures()
	return d, nil
}

// kernel is what the programs have to know of the kernel.
func (d *Datapath) kernel() bpf.Kernel {
	return bpf.Kernel{
		DecapL3: d.found.Uses(probe.DecapL3), CardDecap: d.hooks.cardDecaps, CardGeneric: d.hooks.cards == cardsGeneric,
		PathKept: pathKept(d.log),
	}
}

// tellFeatures leaves behind what the kernel can do, for those who look at the datapath; it runs without that too.
func (d *Datapath) tellFeatures() {
	for _, f := range d.found.Fallbacks() {
		d.log.Info("kernel feature is not used", "feature", f.Name, "least_kernel", f.Least, "for", f.Use, "instead", f.Fallback)
	}
	d.writeFeatures()
}

func (d *Datapath) writeFeatures() {
	if err := features.Write(d.dir, d.found); err != nil {
		d.log.Warn("cannot pin the record of kernel features", "error", err)
	}
}

// mountBPFFS mounts a BPF file system where distributions have it, for those that have not: it is there until the next boot, as systemd's is.
func mountBPFFS(path string) error {
	if err := unix.Mount("bpf", path, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("%s is no BPF file system, and none can be mounted there: %w: mount one with `mount -t bpf bpf %s`", path, err, path)
	}
	return nil
}

// checkBPFFS refuses a folder that is no BPF file system: pins made there would fail one by one with a less telling error.
func checkBPFFS(path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Errorf("inspect BPF file system %s: %w", path, err)
	}
	if uint32(fs.Type) != unix.BPF_FS_MAGIC { //nolint:gosec // of 32 bits, whatever holds it
		if path == DefaultBPFFS {
			return mountBPFFS(path)
		}
		return fmt.Errorf("%s is no BPF file system: mount one with `mount -t bpf bpf %s`", path, path)
	}
	return nil
}

// Features returns what was found of the kernel's features, and what is made use of.
func (d *Datapath) Features() features.Record {
	d.record.Lock()
	defer d.record.Unlock()
	return d.found
}

// Maps returns the worker's maps.
func (d *Datapath) Maps() *bpf.Maps { return d.maps }

// Dir returns the folder of all pins of the worker.
func (d *Datapath) Dir() string { return d.dir }

// Close lets go of programs and maps. What is attached stays attached, what is pinned stays pinned.
func (d *Datapath) Close() error {
	d.closeObjects()
	return release(d.locks)
}

func (d *Datapath) closeObjects() {
	d.resets.close()
	d.resets = nil
	d.progs.Close()
	_ = d.maps.Close()
}

// Remove detaches every program of the worker and removes all its pins: the datapath is gone.
func (d *Datapath) Remove() error {
	if err := d.hooks.removeAll(); err != nil {
		return err
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove pins of the worker: %w", err)
	}
	_ = os.Remove(filepath.Dir(d.dir)) // stays while another worker of this machine has something in it
	return nil
}
