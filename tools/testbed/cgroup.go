// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const cgroupRoot = "/sys/fs/cgroup"

// containerCgroups returns the cgroup folders, one a hierarchy, of a process that NodeEngine has put in a container. Of any
// other process it returns none: their cgroups are not the testbed's.
func containerCgroups(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !isContainerCgroup(fields[2]) {
			continue
		}
		// Hierarchies are mounted under the name of their controllers, of one of them, or, of v2, in one of two places.
		for _, ctl := range append(strings.Split(fields[1], ","), fields[1], "unified", "") {
			ctl = strings.TrimPrefix(ctl, "name=")
			dirs = append(dirs, filepath.Join(cgroupRoot, ctl, fields[2]))
		}
	}
	return dirs
}

// isContainerCgroup reports whether a cgroup's path is one of Oakestra's containers: under a folder named for the containerd
// namespace.
func isContainerCgroup(path string) bool {
	return strings.Contains(path+"/", "/"+containerdNS+"/")
}

// removeCgroups removes the given cgroups, and any empty ones of Oakestra's containers that an earlier run has left.
func removeCgroups(dirs []string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		dirs = append(dirs, filepath.Join(m, containerdNS))
	}
	for _, d := range dirs {
		// From the inside out. A cgroup that still has processes is not ours to remove, and refuses.
		var inner []string
		err := filepath.WalkDir(d, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir
			}
			if e.IsDir() {
				inner = append(inner, p)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove cgroup %s: %w", d, err)
		}
		for i := len(inner) - 1; i >= 0; i-- {
			_ = os.Remove(inner[i])
		}
	}
	return nil
}

// cgroupMounts returns where cgroup hierarchies are mounted.
func cgroupMounts() ([]string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer func() { _ = f.Close() }()
	var points []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && strings.HasPrefix(fields[2], "cgroup") {
			points = append(points, fields[1])
		}
	}
	return points, lines.Err()
}
