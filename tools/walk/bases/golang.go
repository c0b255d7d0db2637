// SPDX-License-Identifier: Apache-2.0

package bases

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// goTree writes go.tar: this machine's Go, the modules that the programs are made of, as a proxy in files, and what has been compiled for
// them, so that a build in the image takes no longer than one here. What is not compiled yet is compiled once, for both.
func goTree(ctx context.Context, dir, repository, self string, programs []string) error {
	cache, proxy := filepath.Join(dir, "gocache"), filepath.Join(dir, "goproxy")
	for _, d := range []string{cache, proxy} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	var env struct{ GOROOT, GOCACHE, GOMODCACHE string }
	out, err := output(ctx, repository, nil, "go", "env", "-json", "GOROOT", "GOCACHE", "GOMODCACHE")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &env); err != nil {
		return err
	}
	// Not which commit it is: images are built from sources alone, and a program's main package would count as another one.
	build := []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false"}
	list := append([]string{"list", "-export", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}"}, programs...)
	if err := run(ctx, repository, build, "go", list...); err != nil { // what is missing in the machine's own cache goes there
		return err
	}
	out, err = output(ctx, repository, append(build, "GOCACHEPROG="+self+" "+env.GOCACHE+" "+cache), "go", list...)
	if err != nil {
		return err
	}
	if err := copyModules(ctx, proxy, env.GOMODCACHE, out); err != nil {
		return err
	}
	file := filepath.Join(dir, "go.tar")
	if err := run(ctx, "", nil, "tar", "-cf", file, "-C", env.GOROOT, "--exclude=testdata", "--exclude=*_test.go", "--transform=s,^\\./,usr/local/go/,S",
		"./bin", "./pkg", "./src", "./lib", "./VERSION", "./go.env"); err != nil {
		return err
	}
	if err := run(ctx, "", nil, "tar", "-rf", file, "-C", dir, "gocache", "goproxy"); err != nil {
		return err
	}
	for _, d := range []string{cache, proxy} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

// copyModules copies what a proxy has of modules: of all the files that say what they need, of those that are needed their source too. Needed is
// a line each, path and version.
func copyModules(ctx context.Context, proxy, modcache, needed string) error {
	from := filepath.Join(modcache, "cache", "download")
	var names strings.Builder
	err := filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); filepath.Base(filepath.Dir(path)) == "@v" && (strings.HasSuffix(name, ".mod") || strings.HasSuffix(name, ".info")) {
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			names.WriteString(rel + "\n")
		}
		return nil
	})
	if err != nil {
		return err
	}
	lines := strings.Split(needed, "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		path, version, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || version == "" {
			continue // the standard library, and the programs' own module
		}
		escaped, err := module.EscapePath(path)
		if err != nil {
			return err
		}
		v, err := module.EscapeVersion(version)
		if err != nil {
			return err
		}
		names.WriteString(filepath.Join(escaped, "@v", v+".zip") + "\n")
	}
	list := proxy + ".list"
	if err := os.WriteFile(list, []byte(names.String()), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(list) }()
	return run(ctx, from, nil, "xargs", "-a", list, "-d", "\n", "cp", "--parents", "-t", proxy, "--")
}
