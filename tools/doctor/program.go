// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the programs that make a machine what it is.
const (
	progRoot    = "root-orchestrator"
	progCluster = "cluster-orchestrator"
	progEngine  = "NodeEngine"
	progNet     = "NetManager"
)

// program is a running one.
type program struct {
	name string
	pid  int
	args []string
	env  map[string]string
	// contained says that it has another root folder than this process: it runs in a container.
	contained bool
}

// main says whether the process is the program at work, and no subcommand of it such as "token create".
func (p program) main() bool {
	return len(p.args) < 2 || strings.HasPrefix(p.args[1], "-")
}

// programs finds those that run on this machine: in this network namespace, or in a container.
func programs() ([]program, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	space, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("identify the network namespace: %w", err)
	}
	var found []program
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, ok := programOf(pid)
		if !ok || !p.main() {
			continue
		}
		theirs, err := os.Readlink(procFile(pid, "ns/net"))
		if err != nil || theirs != space && !p.contained {
			continue // gone, or on another host that shares this machine
		}
		found = append(found, p)
	}
	return found, nil
}

func procFile(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

func programOf(pid int) (program, bool) {
	args := readList(pid, "cmdline")
	if len(args) == 0 {
		return program{}, false
	}
	p := program{name: filepath.Base(args[0]), pid: pid, args: args, env: map[string]string{}}
	if !slices.Contains([]string{progRoot, progCluster, progEngine, progNet}, p.name) {
		return program{}, false
	}
	for _, pair := range readList(pid, "environ") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			p.env[name] = value
		}
	}
	p.contained = !sameFile("/", procFile(pid, "root/"))
	return p, true
}

// readList reads a file of /proc whose entries end in a zero byte.
func readList(pid int, name string) []string {
	raw, err := os.ReadFile(procFile(pid, name))
	if err != nil {
		return nil
	}
	var out []string
	for part := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		out = append(out, string(part))
	}
	return out
}

// sameFile reports whether two paths lead to one file; true if that is not to be seen, since most processes are in no container.
func sameFile(a, b string) bool {
	var x, y unix.Stat_t
	if unix.Stat(a, &x) != nil || unix.Stat(b, &y) != nil {
		return true
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

// shown returns the roles that a machine has by what runs there, or is set up to.
func shown(running []program) []Role {
	runs := func(name string) bool {
		return slices.ContainsFunc(running, func(p program) bool { return p.name == name })
	}
	var out []Role
	for _, r := range []struct {
		role     Role
		programs []string
		files    []string
	}{
		{Root, []string{progRoot}, units(progRoot)},
		{Cluster, []string{progCluster}, units(progCluster)},
		{Worker, []string{progEngine, progNet}, slices.Concat(units(progEngine), units(progNet), []string{defaultStateDir, defaultNetcfg})},
	} {
		if slices.ContainsFunc(r.programs, runs) || slices.ContainsFunc(r.files, exists) {
			out = append(out, r.role)
		}
	}
	return out
}

// units are where a program's systemd unit may be.
func units(program string) []string {
	var out []string
	for _, dir := range []string{"/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"} {
		for _, name := range []string{program, strings.ToLower(program), "oakestra-" + strings.ToLower(program)} {
			out = append(out, filepath.Join(dir, name+".service"))
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
