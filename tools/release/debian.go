// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/oakestra/oakestra-ebpf/tools/oak/install"
)

// Nfpm is the program that makes packages, as `go run` knows it. It is a program and no library here: three times as many modules come with it
// as this project has.
const Nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4"

// debPackage is a Debian package.
type debPackage struct {
	name, summary, about string
	programs             []string
	service              *install.Service
	depends, recommends  []string
}

// packages are those of a release. What each does at its installation and removal follows from its service.
func packages() []debPackage {
	return []debPackage{
		{name: "oakestra-root-orchestrator", summary: "root of an Oakestra installation", about: "REST API for users, and the port that clusters dial. Needs a Postgres database.",
			programs: []string{"root-orchestrator"}, service: &install.Root, depends: []string{"adduser"}, recommends: []string{"postgresql", "oakestra-cli"}},
		{name: "oakestra-cluster-orchestrator", summary: "cluster of an Oakestra installation", about: "Takes workers in and places what root gives it. Needs a Postgres database.",
			programs: []string{"cluster-orchestrator"}, service: &install.Cluster, depends: []string{"adduser"}, recommends: []string{"postgresql", "oakestra-cli"}},
		{name: "oakestra-nodeengine", summary: "worker of an Oakestra cluster", about: "Runs in containers what the cluster gives to this worker.",
			programs: []string{"NodeEngine"}, service: &install.Engine, depends: []string{"containerd | containerd.io", "oakestra-netmanager"}, recommends: []string{"oakestra-cli"}},
		{name: "oakestra-netmanager", summary: "overlay network of an Oakestra worker", about: "Attaches a worker's containers to the overlay, by programs in the kernel.",
			programs: []string{"NetManager", "oak-net"}, service: &install.Net},
		{name: "oakestra-cli", summary: "command line of Oakestra", about: "Deploys applications, and installs and removes Oakestra's programs.", programs: []string{"oak"}},
	}
}

// content is a file of a package, as nfpm reads it.
type content struct {
	Source      string    `json:"src,omitempty"`
	Destination string    `json:"dst"`
	Type        string    `json:"type,omitempty"`
	Info        *fileInfo `json:"file_info,omitempty"`
}

type fileInfo struct {
	Mode  int64  `json:"mode,omitempty"`
	MTime string `json:"mtime,omitempty"`
}

// debian makes one package with nfpm.
func (b *build) debian(ctx context.Context, arch Arch, bin string, p debPackage) error {
	dir, err := os.MkdirTemp(b.work, "deb-")
	if err != nil {
		return fmt.Errorf("make package %s: %w", p.name, err)
	}
	version := debianVersion(b.Version, b.At.Unix())
	c := map[string]any{
		"name": p.name, "arch": arch.Name, "platform": "linux", "version": version, "version_schema": "none", "section": "admin", "priority": "optional",
		"maintainer": "Oakestra <noreply@oakestra.io>", "homepage": "https://www.oakestra.io", "license": "Apache-2.0",
		"description": p.summary + "\n" + p.about, "depends": p.depends, "recommends": p.recommends, "mtime": b.mtime(),
		"deb": map[string]any{"compression": "gzip"},
	}
	files, scripts, err := b.debianFiles(dir, bin, p)
	if err != nil {
		return err
	}
	c["contents"], c["scripts"] = files, scripts
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("describe package %s: %w", p.name, err)
	}
	config := filepath.Join(dir, "nfpm.yaml")
	if err := os.WriteFile(config, text, modeFile); err != nil {
		return fmt.Errorf("describe package %s: %w", p.name, err)
	}
	name := p.name + "_" + version + "_" + arch.Name
	cmd := exec.CommandContext(ctx, b.Packager, "package", "--packager", "deb", "--config", config, "--target", b.path(name+".deb"))
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(b.At.Unix(), 10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make package %s: %w:\n%s", p.name, err, bytes.TrimSpace(out))
	}
	return b.listContents(artefact{name: name, programs: p.programs}, bin)
}

func (b *build) mtime() string { return b.At.UTC().Format("2006-01-02T15:04:05Z") }

// debianFiles returns what is in a package and its maintainer's scripts, which are written to dir.
func (b *build) debianFiles(dir, bin string, p debPackage) (files []content, scripts map[string]string, err error) {
	add := func(name string, text []byte, to, kind string, mode int64) {
		from := filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(from, text, modeFile)
		}
		files = append(files, content{from, to, kind, &fileInfo{Mode: mode, MTime: b.mtime()}})
	}
	for _, program := range p.programs {
		files = append(files, content{filepath.Join(bin, program), "/usr/bin/" + program, "", &fileInfo{Mode: modeProgram, MTime: b.mtime()}})
	}
	files = append(files, content{filepath.Join(b.Source, "LICENSE"), "/usr/share/doc/" + p.name + "/copyright", "", &fileInfo{Mode: modeFile, MTime: b.mtime()}})
	s := p.service
	if s == nil {
		return files, nil, err
	}
	const configuration = "config|noreplace"
	add(s.Unit(), install.File(s.Unit()), "/lib/systemd/system/"+s.Unit(), "", modeFile)
	add(s.Env(), install.File(s.Env()), install.ConfigDir+"/"+s.Env(), configuration, modeFile)
	if s.Program == install.Net.Program {
		add(install.NetworkConfig, install.File(install.NetworkConfig), install.NetConfigDir+"/"+install.NetworkConfig, configuration, modeFile)
	}
	scripts = map[string]string{}
	for name, text := range install.MaintainerScripts(*s) {
		scripts[name] = filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(scripts[name], text, modeProgram) //nolint:gosec // a script
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make package %s: %w", p.name, err)
	}
	return files, scripts, nil
}

var (
	numbered = regexp.MustCompile(`^v?([0-9]+(?:\.[0-9]+)*)(.*)$`)
	hexWord  = regexp.MustCompile(`^[0-9a-f]{7,40}(-dirty)?$`)
	unfit    = regexp.MustCompile(`[^A-Za-z0-9.+~]+`)
)

// debianVersion writes a version so that Debian sorts it right: what comes before a release (-rc1) below it, what comes after (-3-gabcdef)
// above, and what has no number, of that time, below all.
func debianVersion(version string, at int64) string {
	m := numbered.FindStringSubmatch(version)
	if m == nil || hexWord.MatchString(version) {
		return "0~" + strconv.FormatInt(at, 10) + "." + unfit.ReplaceAllString(version, ".")
	}
	rest := m[2]
	switch {
	case rest == "":
		return m[1]
	case regexp.MustCompile(`^-[0-9]+-g[0-9a-f]+`).MatchString(rest), strings.HasPrefix(rest, "-dirty"), rest[0] == '+':
		return m[1] + "+" + unfit.ReplaceAllString(strings.TrimLeft(rest, "-+"), ".")
	}
	return m[1] + "~" + unfit.ReplaceAllString(strings.TrimLeft(rest, "-~"), ".")
}
