// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Root returns the repository's root folder: the nearest one with a go.mod, from the working folder upwards, which is the
// package's own while its tests run.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find the repository: no go.mod in %s or above", dir)
		}
	}
}

// Files returns every Markdown file below the repository's root, by slash-separated path from there, sorted; none of folders that
// hold what was built, or that are hidden.
func Files(root string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we walk
			}
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if e.IsDir() && name != "." && (name == "bin" || name == "dist" || strings.HasPrefix(e.Name(), ".")) {
			return fs.SkipDir
		}
		if e.Type().IsRegular() && filepath.Ext(name) == ".md" {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// Read parses a document of the repository, which file names by its slash-separated path from the root.
func Read(root, file string) ([]Block, error) {
	body, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	return Parse(file, string(body))
}

// Find returns a document's blocks of commands with the given ids, in the order of these.
func Find(root, file string, ids ...string) ([]Block, error) {
	all, err := Read(root, file)
	if err != nil {
		return nil, err
	}
	var found []Block
	for _, id := range ids {
		i := slices.IndexFunc(all, func(b Block) bool { return b.ID == id })
		if i < 0 || id == "" {
			return nil, fmt.Errorf("%s: no block of commands has the id %q", file, id)
		}
		found = append(found, all[i])
	}
	return found, nil
}
