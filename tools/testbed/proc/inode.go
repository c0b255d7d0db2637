// SPDX-License-Identifier: Apache-2.0

package proc

import "golang.org/x/sys/unix"

// nsfsMagic is the file system that namespaces are files of, NSFS_MAGIC of linux/magic.h.
const nsfsMagic = 0x6e736673

// inode returns the inode of a namespace file; false if path is none, such as the file that a bind mount should cover.
func inode(path string) (uint64, bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Type != nsfsMagic {
		return 0, false
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, false
	}
	return st.Ino, true
}
