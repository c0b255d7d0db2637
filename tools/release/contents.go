// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/oak/install"
)

// Modes of files.
const (
	modeProgram = 0o755
	modeFile    = 0o644
)

// artefact is an archive or a package: what it is called, and which programs are inside.
type artefact struct {
	name     string // without the ending
	programs []string
	entries  []entry
}

// archives are those of one kind of machine, whose programs are in bin.
func (b *build) archives(arch Arch, bin string) ([]artefact, error) {
	whole, err := b.whole(arch, bin)
	if err != nil {
		return nil, err
	}
	return []artefact{
		b.worker("NodeEngine", arch, bin, []install.Service{install.Engine}, "NodeEngine"),
		b.worker("NetManager", arch, bin, []install.Service{install.Net}, "NetManager", "oak-net"),
		whole,
	}, nil
}

// worker is an archive of some of a worker's programs. Everything is at its top, so that unpacking two of them in one folder, one after the
// other, and calling ./install.sh after each is as good as a folder for each.
func (b *build) worker(name string, arch Arch, bin string, services []install.Service, programs ...string) artefact {
	a := artefact{name: name + "_" + arch.Name, programs: programs}
	for _, p := range programs {
		a.entries = append(a.entries, entry{name: p, from: filepath.Join(bin, p), mode: modeProgram})
	}
	a.entries = append(a.entries, b.toInstall(arch, services)...)
	a.entries = append(a.entries, entry{name: "README", text: []byte(fmt.Sprintf(workerReadme, name, b.Version, arch.Name)), mode: modeFile},
		entry{name: "LICENSE", from: filepath.Join(b.Source, "LICENSE"), mode: modeFile})
	return a
}

// toInstall is install.sh and what it reads.
func (b *build) toInstall(arch Arch, services []install.Service) []entry {
	out := []entry{
		{name: install.Script, text: install.File(install.Script), mode: modeProgram},
		{name: install.NetworkConfig, text: install.File(install.NetworkConfig), mode: modeFile},
		{name: "ARCHITECTURE", text: []byte(arch.Name + "\n"), mode: modeFile},
	}
	for _, s := range services {
		out = append(out, entry{name: s.Unit(), text: install.File(s.Unit()), mode: modeFile}, entry{name: s.Env(), text: install.File(s.Env()), mode: modeFile})
	}
	return out
}

// whole is the archive of everything, in a folder of its own.
func (b *build) whole(arch Arch, bin string) (artefact, error) {
	a := artefact{name: "oakestra_" + arch.Name}
	for p := range programs {
		a.programs = append(a.programs, p)
		a.entries = append(a.entries, entry{name: p, from: filepath.Join(bin, p), mode: modeProgram})
	}
	a.entries = append(a.entries, b.toInstall(arch, []install.Service{install.Engine, install.Net})...)
	a.entries = append(a.entries, entry{name: "README", text: []byte(fmt.Sprintf(wholeReadme, b.Version, arch.Name)), mode: modeFile},
		entry{name: "LICENSE", from: filepath.Join(b.Source, "LICENSE"), mode: modeFile})
	compose := filepath.Join(b.Source, "orchestrators", "compose")
	err := filepath.WalkDir(compose, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, ".go") {
			return err
		}
		name, err := filepath.Rel(compose, path)
		if err != nil {
			return err
		}
		mode := int64(modeFile)
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 {
			mode = modeProgram
		}
		a.entries = append(a.entries, entry{name: "compose/" + filepath.ToSlash(name), from: path, mode: mode})
		return nil
	})
	if err != nil {
		return a, fmt.Errorf("list compositions: %w", err)
	}
	for i := range a.entries {
		a.entries[i].name = a.name + "/" + a.entries[i].name
	}
	return a, nil
}

const workerReadme = `%s %s for %s

    ./install.sh

copies the programs to /usr/local/bin, a configuration to begin with to /etc/netmanager and /etc/oakestra, and, where systemd is, units to
/etc/systemd/system. It needs no network, starts nothing, says what it does and may be run again. A worker needs both NodeEngine and NetManager,
Linux 6.1 or newer, and containerd.

Name the cluster in /etc/netmanager/netcfg.json, then

    sudo NetManager -p 6000 &
    sudo NodeEngine -n 6000 -p 10100

or, at each boot: systemctl enable --now netmanager nodeengine. It joins with the token in /etc/oakestra/worker.token: the
cluster's "cluster-orchestrator token create" prints the command that writes it; a cluster on the same machine leaves one there.

To remove it: oak uninstall worker.
`

const wholeReadme = `Oakestra %s for %s: every program, and compositions of the orchestrators for Docker.

    sudo ./oak install full        root, cluster and worker on this machine
    sudo ./oak install root        only the root orchestrator
    sudo ./oak install cluster     a cluster of a root that is elsewhere
    sudo ./oak install worker      a worker of a cluster that is elsewhere

install what lies beside oak; --dry-run prints each step, --help the flags. None of them needs a network. Orchestrators need Postgres, workers
containerd and Linux 6.1 or newer. ./install.sh installs a worker's programs alone, and starts nothing.

To remove them: oak uninstall full, or root, cluster, worker.
`
