// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Options say what to build.
type Options struct {
	// Source is the repository's root, Out the folder that the release goes to.
	Source, Out string
	// Version is what the programs say of themselves.
	Version string
	// At is the time that everything in the release has, usually the commit's.
	At time.Time
	// Archs are what to build for; nil for all of [Archs].
	Archs []Arch
	// Packager is the program nfpm, which makes Debian packages; empty to make none.
	Packager string
	// Log gets a line for each file.
	Log io.Writer
}

// build is a release under way.
type build struct {
	Options
	work  string // folder of what is made on the way
	files []string
}

// version bounds what goes into file names, packages and compilers' arguments.
var version = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_~-]{0,63}$`)

// stale are the files of a former release.
var stale = []string{"NodeEngine_*", "NetManager_*", "oakestra_*", "oakestra-*.deb", "oakestra-*.cdx.json", sumsFile}

// sumsFile lists the sums of all others, for sha256sum --check.
const sumsFile = "SHA256SUMS"

// Build builds a release and returns the names of its files.
func Build(ctx context.Context, o Options) ([]string, error) {
	if !version.MatchString(o.Version) {
		return nil, fmt.Errorf("build release: version %q: it has to match %s", o.Version, version)
	}
	b := &build{Options: o}
	if b.Archs == nil {
		b.Archs = Archs()
	}
	if b.Log == nil {
		b.Log = io.Discard
	}
	var err error
	for _, dir := range []*string{&b.Source, &b.Out} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, fmt.Errorf("build release: %w", err)
		}
	}
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return nil, fmt.Errorf("build release: %w", err)
	}
	for _, pattern := range stale {
		old, _ := filepath.Glob(filepath.Join(b.Out, pattern))
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("remove former release: %w", err)
			}
		}
	}
	if b.work, err = os.MkdirTemp("", "oak-release-"); err != nil {
		return nil, fmt.Errorf("build release: %w", err)
	}
	defer func() { _ = os.RemoveAll(b.work) }()
	for _, arch := range b.Archs {
		if err := b.arch(ctx, arch); err != nil {
			return nil, err
		}
	}
	if err := b.sums(); err != nil {
		return nil, err
	}
	return b.files, nil
}

// arch makes everything for one kind of machine.
func (b *build) arch(ctx context.Context, arch Arch) error {
	bin := filepath.Join(b.work, arch.Name)
	if err := compile(ctx, b.Source, b.Version, arch, bin); err != nil {
		return err
	}
	all, err := b.archives(arch, bin)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := writeArchive(b.path(a.name+".tar.gz"), b.At, a.entries); err != nil {
			return err
		}
		if err := b.listContents(a, bin); err != nil {
			return err
		}
	}
	if b.Packager == "" {
		return nil
	}
	for _, p := range packages() {
		if err := b.debian(ctx, arch, bin, p); err != nil {
			return err
		}
	}
	return nil
}

// path returns where a file of the release goes, which is noted.
func (b *build) path(name string) string {
	b.files = append(b.files, name)
	_, _ = fmt.Fprintln(b.Log, "release", name)
	return filepath.Join(b.Out, name)
}

// sums writes the list of sums.
func (b *build) sums() error {
	slices.Sort(b.files)
	var lines strings.Builder
	for _, name := range b.files {
		sum, err := sumOf(filepath.Join(b.Out, name))
		if err != nil {
			return fmt.Errorf("sum up: %w", err)
		}
		fmt.Fprintf(&lines, "%x  %s\n", sum, name)
	}
	if err := os.WriteFile(b.path(sumsFile), []byte(lines.String()), modeFile); err != nil {
		return fmt.Errorf("write sums: %w", err)
	}
	return nil
}

func sumOf(path string) (sum []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, errors.Join(f.Close())) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
