// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Marker is how processes are known without a record of them.
type Marker struct {
	// Env is a NAME=VALUE that marked processes have in their environment.
	Env string
	// MountDir is a folder: a process in a mount namespace of its own is marked if its root comes from there.
	MountDir string
	// NetNS are files that stand for network namespaces: a process that lives in one of them is marked.
	NetNS []string
}

// Scan returns the marked processes and all that descend from them, save the caller and those that it descends from.
func Scan(m Marker) ([]ID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	spaces := inodes(m.NetNS)
	ownMounts, _ := os.Readlink("/proc/self/ns/mnt") // empty on error: then each process is looked at
	marked := map[int]bool{}
	children := map[int][]int{}
	parent := map[int]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if err != nil || s.state == 'Z' || s.state == 'X' {
			continue // gone meanwhile
		}
		children[s.parent] = append(children[s.parent], pid)
		parent[pid] = s.parent
		marked[pid] = hasEnv(pid, m.Env) || inNetNS(pid, spaces) || hasMount(pid, m.MountDir, ownMounts)
	}
	own := map[int]bool{}
	for pid := os.Getpid(); pid > 0; pid = parent[pid] {
		own[pid] = true
	}
	return collect(marked, children, own), nil
}

// collect returns the marked processes and their descendants, without spared.
func collect(marked map[int]bool, children map[int][]int, spared map[int]bool) []ID {
	seen := map[int]bool{}
	var ids []ID
	var walk func(pid int)
	walk = func(pid int) {
		if seen[pid] || spared[pid] {
			return
		}
		seen[pid] = true
		if id, err := Find(pid); err == nil {
			ids = append(ids, id)
		}
		for _, c := range children[pid] {
			walk(c)
		}
	}
	for pid, yes := range marked {
		if yes {
			walk(pid)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int { return a.PID - b.PID })
	return ids
}

// Descendants returns the processes that descend from pid.
func Descendants(pid int) ([]ID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		if p, err := strconv.Atoi(e.Name()); err == nil {
			if s, err := readStat(p); err == nil {
				children[s.parent] = append(children[s.parent], p)
			}
		}
	}
	return collect(map[int]bool{pid: true}, children, map[int]bool{}), nil
}

func hasEnv(pid int, env string) bool {
	if env == "" {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(raw, []byte{0}), func(v []byte) bool { return string(v) == env })
}

// hasMount reports whether the root of a process that has mounts of its own comes from dir. Other mounts say nothing:
// services with a private /tmp hold copies of all of the machine's.
func hasMount(pid int, dir, ownMounts string) bool {
	if dir == "" {
		return false
	}
	if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err != nil || ns == ownMounts {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	return err == nil && rootFrom(string(raw), dir)
}

// rootFrom reports whether the mount at / of a mountinfo file, proc(5), names dir as its source.
func rootFrom(mountinfo, dir string) bool {
	dir = strings.TrimSuffix(dir, "/") + "/"
	for line := range strings.Lines(mountinfo) {
		const pointField = 4
		if f := strings.Fields(line); len(f) > pointField && f[pointField] == "/" && strings.Contains(line, dir) {
			return true
		}
	}
	return false
}

// inodes returns what the kernel calls the namespaces that the files stand for.
func inodes(paths []string) map[string]bool {
	set := map[string]bool{}
	for _, p := range paths {
		if ino, ok := inode(p); ok {
			set[fmt.Sprintf("net:[%d]", ino)] = true
		}
	}
	return set
}

func inNetNS(pid int, spaces map[string]bool) bool {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && spaces[ns]
}

// Ancestors returns up to n processes that the caller descends from, the nearest first, without init.
func Ancestors(n int) []ID {
	var ids []ID
	for pid := os.Getppid(); pid > 1 && len(ids) < n; {
		id, err := Find(pid)
		s, errStat := readStat(pid)
		if err != nil || errStat != nil {
			break
		}
		ids = append(ids, id)
		pid = s.parent
	}
	return ids
}
