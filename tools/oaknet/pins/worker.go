// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// DefaultBPFFS is where distributions mount the BPF file system.
const DefaultBPFFS = "/sys/fs/bpf"

// folder is what holds the workers, below the mount point.
const folder = "oakestra"

var (
	// ErrNone is returned where there are no pins to read.
	ErrNone = errors.New("no pins")
	// ErrSeveral is returned where a worker has to be named.
	ErrSeveral = errors.New("several workers have pins here")
	// ErrVersion is returned where the pins are of maps of another shape than this build knows.
	ErrVersion = errors.New("pins of another version")
)

// Worker is one worker's folder of pins.
type Worker struct {
	// Name is what NetManager was started with as --name.
	Name string
	// Dir is <bpffs>/oakestra/<name>.
	Dir string
	// Version is the shape of the maps, as [bpf.Version] gives it.
	Version string
}

// Workers lists the names of the workers that have pins below the mount point. It returns [ErrNone] if there is none.
func Workers(bpffs string) ([]string, error) {
	if err := checkFileSystem(bpffs); err != nil {
		return nil, err
	}
	dir := filepath.Join(bpffs, folder)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w of a worker in %s: has NetManager ever run on this machine since it booted, and with this --bpffs?", ErrNone, dir)
	}
	slices.Sort(names)
	return names, nil
}

// checkFileSystem refuses what is no BPF file system: nothing could be pinned there.
func checkFileSystem(path string) error {
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s does not exist: give the mount point of the BPF file system as --bpffs", ErrNone, path)
	case err != nil:
		return fmt.Errorf("inspect BPF file system %s: %w", path, err)
	case uint32(fs.Type) != unix.BPF_FS_MAGIC: //nolint:gosec // of 32 bits, whatever holds it
		return fmt.Errorf("%w: %s is no BPF file system: is one mounted (`mount -t bpf bpf %s`), and is --bpffs right?", ErrNone, path, path)
	}
	return nil
}

// Find returns the worker of that name. If name is empty it is the only one or, of several that share the machine, the one whose programs
// are attached in this network namespace. Its error wraps [ErrNone], [ErrSeveral] or [ErrVersion] and says what there is instead.
func Find(bpffs, name string) (Worker, error) {
	all, err := Workers(bpffs)
	if err != nil {
		return Worker{}, err
	}
	switch {
	case name == "" && len(all) > 1:
		if name = hereOf(bpffs, all); name == "" {
			return Worker{}, fmt.Errorf("%w: choose one with --worker: %s", ErrSeveral, strings.Join(all, ", "))
		}
	case name == "":
		name = all[0]
	case !slices.Contains(all, name):
		return Worker{}, fmt.Errorf("%w of worker %q below %s: there are those of %s", ErrNone, name, filepath.Join(bpffs, folder), strings.Join(all, ", "))
	}
	version, err := bpf.Version()
	if err != nil {
		return Worker{}, err
	}
	w := Worker{Name: name, Dir: filepath.Join(bpffs, folder, name), Version: version}
	return w, w.checkVersion()
}

// hereOf returns the one worker that has a program on an interface of this network namespace; "" if that is none or several.
func hereOf(bpffs string, names []string) string {
	var here []string
	for _, name := range names {
		w := Worker{Name: name, Dir: filepath.Join(bpffs, folder, name)}
		if w.attachedHere() {
			here = append(here, name)
		}
	}
	if len(here) == 1 {
		return here[0]
	}
	return ""
}

func (w Worker) checkVersion() error {
	_, err := os.Stat(w.MapDir())
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("find pinned maps: %w", err)
	}
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		return fmt.Errorf("list pins of worker %s: %w", w.Name, err)
	}
	var others []string
	for _, e := range entries {
		if v, ok := strings.CutPrefix(e.Name(), "v"); ok && e.IsDir() {
			others = append(others, v)
		}
	}
	if len(others) == 0 {
		return fmt.Errorf("%w of maps in %s: has NetManager come up since?", ErrNone, w.Dir)
	}
	return fmt.Errorf("%w: worker %s has maps of version %s, this oak-net reads %s: use the oak-net of the same build as its NetManager",
		ErrVersion, w.Name, strings.Join(others, ", "), w.Version)
}

// VersionDir is the folder of everything of this version.
func (w Worker) VersionDir() string { return filepath.Join(w.Dir, "v"+w.Version) }

// MapDir is the folder of the pinned maps.
func (w Worker) MapDir() string { return filepath.Join(w.VersionDir(), bpf.MapDir) }

// LinkDir is the folder of the pinned links.
func (w Worker) LinkDir() string { return filepath.Join(w.Dir, "links") }

// Open opens the pinned maps.
func (w Worker) Open() (*bpf.Maps, error) {
	m, err := bpf.OpenMaps(w.MapDir())
	if err != nil {
		return nil, fmt.Errorf("open maps of worker %s: %w", w.Name, err)
	}
	return m, nil
}
