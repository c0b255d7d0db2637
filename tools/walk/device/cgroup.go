// SPDX-License-Identifier: Apache-2.0

package device

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// hierarchy is a mounted tree of control groups.
type hierarchy struct {
	point string // where it is mounted
	kind  string // what it is mounted by: controllers, name=…, or cgroup2
}

// hierarchies returns what mounts, the text of a mounts file, says.
func hierarchies(mounts string) []hierarchy {
	var found []hierarchy
	lines := bufio.NewScanner(strings.NewReader(mounts))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[1], "/sys/fs/cgroup") {
			continue
		}
		switch f[2] {
		case "cgroup2":
			found = append(found, hierarchy{point: f[1], kind: "cgroup2"})
		case "cgroup":
			var kinds []string
			for _, o := range strings.Split(f[3], ",") {
				if !flagsOfMounts[o] && !strings.HasPrefix(o, "release_agent=") {
					kinds = append(kinds, o)
				}
			}
			found = append(found, hierarchy{point: f[1], kind: strings.Join(kinds, ",")})
		}
	}
	return found
}

// flagsOfMounts are options of a control group's mount that name no controller.
var flagsOfMounts = map[string]bool{"rw": true, "ro": true, "nosuid": true, "nodev": true, "noexec": true, "relatime": true, "noatime": true,
	"nsdelegate": true, "memory_recursiveprot": true, "clone_children": true, "xattr": true, "noprefix": true}

// makeCgroups makes a group for the device in each hierarchy, and tells its first process which there are.
func (d *Device) makeCgroups() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("find control groups: %w", err)
	}
	var list bytes.Buffer
	for _, h := range hierarchies(string(mounts)) {
		dir := filepath.Join(h.point, "oak-walk-"+d.Name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make control group: %w", err)
		}
		d.cgroups = append(d.cgroups, dir)
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} { // of version 1, where a group begins without any
			if all, err := os.ReadFile(filepath.Join(h.point, f)); err == nil && h.kind != "cgroup2" {
				if err := os.WriteFile(filepath.Join(dir, f), all, 0o644); err != nil {
					return fmt.Errorf("make control group: %w", err)
				}
			}
		}
		fmt.Fprintln(&list, h.kind, h.point)
	}
	return os.WriteFile(filepath.Join(d.dir, "cgroups"), list.Bytes(), 0o600)
}

// enterCgroups are a shell's commands by which it enters the device's groups. Of version 2 that is a leaf, since no other one may have both
// processes and groups below it; the first process is there before there are any.
func (d *Device) enterCgroups() string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, c := range d.cgroups {
		fmt.Fprintf(&b, "if [ -d %[1]s/init ]; then echo $$ >%[1]s/init/cgroup.procs; else echo $$ >%[1]s/cgroup.procs; fi\n", c)
	}
	return b.String()
}

// removeCgroups removes the device's groups from the inside out. Those of processes that are still about to end are waited for.
func (d *Device) removeCgroups() error {
	var err error
	for end := time.Now().Add(endWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		err = nil
		for _, top := range d.cgroups {
			err = errors.Join(err, removeTree(top))
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("remove control groups of device %s: %w", d.Name, err)
}

func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if e := os.Remove(dirs[i]); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
