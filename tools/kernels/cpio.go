// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// archive is an initial RAM file system: regular files by slash-separated path. Folders are made as needed.
type archive struct {
	files map[string]file
	links map[string]string
}

type file struct {
	mode fs.FileMode
	body []byte
}

func newArchive() *archive { return &archive{files: map[string]file{}, links: map[string]string{}} }

func (a *archive) add(name string, mode fs.FileMode, body []byte) {
	a.files[strings.TrimPrefix(path.Clean("/"+name), "/")] = file{mode, body}
}

// link makes a symbolic link.
func (a *archive) link(name, to string) { a.links[strings.TrimPrefix(path.Clean("/"+name), "/")] = to }

// Types of the c_mode field, see inode(7).
const (
	cpioFolder  = 0o040000
	cpioRegular = 0o100000
	cpioLink    = 0o120000
)

// writeTo writes the archive in the "newc" format of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst,
// uncompressed. Equal archives give equal bytes.
func (a *archive) writeTo(w io.Writer) error {
	c := &cpio{w: w}
	folders := map[string]bool{}
	for _, name := range a.names() {
		for _, dir := range parents(name) {
			if !folders[dir] {
				folders[dir] = true
				c.entry(dir, cpioFolder|0o755, nil)
			}
		}
		if to, ok := a.links[name]; ok {
			c.entry(name, cpioLink|0o777, []byte(to))
		} else {
			f := a.files[name]
			c.entry(name, cpioRegular|uint32(f.mode.Perm()), f.body)
		}
	}
	c.entry("TRAILER!!!", 0, nil)
	return c.err
}

func (a *archive) names() []string {
	var names []string
	for name := range a.files {
		names = append(names, name)
	}
	for name := range a.links {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// parents returns the folders that lead to a file, outermost first.
func parents(name string) []string {
	var dirs []string
	for i, c := range name {
		if c == '/' {
			dirs = append(dirs, name[:i])
		}
	}
	return dirs
}

// cpio writes entries, and keeps the first error.
type cpio struct {
	w     io.Writer
	inode uint32
	err   error
}

func (c *cpio) entry(name string, mode uint32, body []byte) {
	c.inode++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0)
	c.write([]byte(pad4(head + name + "\x00")))
	c.write(body)
	c.write(make([]byte, -len(body)&3))
}

func (c *cpio) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

func pad4(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
