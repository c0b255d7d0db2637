// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errNoMirror is returned where the machine's own apt knows no mirror of Debian.
var errNoMirror = errors.New("no mirror of Debian is configured on this machine: name one with --mirror")

// machineMirror returns the mirror that the machine's own apt fetches Debian's packages from.
func machineMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)",
		"Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Debian" && fields[1] == "main" && !strings.Contains(fields[2], "security") {
			return fields[2], nil
		}
	}
	return "", errNoMirror
}

// keyring holds the keys that Debian's archives are signed with; package debian-archive-keyring brings it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt fetches packages of one suite and architecture. Its state lies in a folder of its own, so that what the machine's own apt
// and dpkg know of architectures and packages is neither read nor changed.
type apt struct {
	dir     string
	options []string
}

func newApt(dir, mirror, suite, arch string) (*apt, error) {
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("create folder for apt: %w", err)
		}
	}
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	for name, body := range map[string]string{"sources.list": source, "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			return nil, fmt.Errorf("configure apt: %w", err)
		}
	}
	a := &apt{dir: dir}
	for _, option := range []string{
		"Dir::State=" + dir,
		"Dir::State::status=" + filepath.Join(dir, "status"),
		"Dir::State::lists=" + filepath.Join(dir, "lists"),
		"Dir::Cache=" + filepath.Join(dir, "cache"),
		"Dir::Etc::sourcelist=" + filepath.Join(dir, "sources.list"),
		"Dir::Etc::sourceparts=-",
		"Dir::Etc::preferences=-",
		"Dir::Etc::preferencesparts=-",
		"APT::Architecture=" + arch,
		"APT::Architectures::=" + arch,
		"APT::Sandbox::User=", // the folder is the caller's
		"Acquire::Languages=none",
		"Acquire::Retries=3",
	} {
		a.options = append(a.options, "-o", option)
	}
	return a, nil
}

func (a *apt) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, append(append([]string{}, a.options...), args...)...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("run %s: %w: kernels are fetched as Debian packages, which takes apt and dpkg", program, err)
	}
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(failed.String()))
	}
	return out.String(), nil
}

// update fetches the list of packages.
func (a *apt) update(ctx context.Context) error {
	_, err := a.run(ctx, "apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any")
	return err
}

// depends returns what the newest version of a package needs, without versions.
func (a *apt) depends(ctx context.Context, pkg string) ([]string, error) {
	out, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return nil, err
	}
	return parseDepends(out), nil
}

// parseDepends reads the field Depends of a package's record. Of alternatives it takes the first.
func parseDepends(record string) []string {
	var names []string
	for line := range strings.Lines(record) {
		list, ok := strings.CutPrefix(line, "Depends:")
		if !ok {
			continue
		}
		for item := range strings.SplitSeq(list, ",") {
			if fields := strings.Fields(item); len(fields) > 0 {
				names = append(names, fields[0])
			}
		}
	}
	return names
}

// download fetches a package and returns its file's path.
func (a *apt) download(ctx context.Context, pkg string) (string, error) {
	if _, err := a.run(ctx, "apt-get", "-q", "download", pkg); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(a.dir, pkg+"_*.deb"))
	if err != nil {
		return "", fmt.Errorf("look for package %s: %w", pkg, err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("fetch package %s: apt-get left no file in %s", pkg, a.dir)
	}
	return found[len(found)-1], nil
}
