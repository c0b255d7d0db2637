// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
)

// binDir is where programs go that no package brings.
const binDir = "/usr/local/bin"

// packaged are folders of programs that packages bring: what lies there is used as it is.
var packaged = []string{"/usr/bin", "/bin"}

// program copies a program from where the release is.
func (p *plan) program(from, name string) {
	source := filepath.Join(from, name)
	if slices.Contains(packaged, from) || from == binDir {
		p.add("test -x "+source, func(context.Context) (bool, error) { return false, executable(source) })
		return
	}
	target := filepath.Join(binDir, name)
	p.add(fmt.Sprintf("install -m 0755 %s %s", source, target), func(context.Context) (bool, error) {
		if err := executable(source); err != nil {
			return false, err
		}
		if same(source, target) {
			return false, nil
		}
		in, err := os.Open(source)
		if err != nil {
			return false, err
		}
		defer func() { _ = in.Close() }()
		return true, replace(target, in, 0o755, -1, -1)
	})
}

func executable(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: programs are looked for beside oak: name the folder of the unpacked release with --from", err)
	}
	if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is no program", path)
	}
	return nil
}

// same reports whether two files hold the same.
func same(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	if err1 != nil || err2 != nil || one.Size() != other.Size() || one.Mode().Perm() != other.Mode().Perm() {
		return false
	}
	x, err1 := os.Open(a)
	y, err2 := os.Open(b)
	if err1 != nil || err2 != nil {
		return false
	}
	defer func() { _, _ = x.Close(), y.Close() }()
	const piece = 1 << 16
	p, q := make([]byte, piece), make([]byte, piece)
	for {
		n, err1 := io.ReadFull(x, p)
		m, err2 := io.ReadFull(y, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return false
		}
		if err1 != nil || err2 != nil {
			return true
		}
	}
}

// replace writes a file in one step, so that nobody sees half of it and a program that runs is not disturbed. An owner of -1 is who calls.
func replace(path string, in io.Reader, mode fs.FileMode, uid, gid int) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = io.Copy(f, in)
	if uid >= 0 {
		err = errors.Join(err, f.Chown(uid, gid))
	}
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// folder makes a folder for a user of the system; for root if that is empty.
func (p *plan) folder(path, owner string, mode fs.FileMode) {
	say := fmt.Sprintf("install -d -m %04o %s", mode, path)
	if owner != "" {
		say = fmt.Sprintf("install -d -m %04o -o %s -g %s %s", mode, owner, owner, path)
	}
	p.add(say, func(context.Context) (bool, error) {
		_, err := os.Stat(path)
		if err == nil {
			return false, nil
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return false, err
		}
		if err := os.Mkdir(path, mode); err != nil {
			return false, err
		}
		uid, gid, err := idsOf(owner)
		if err != nil {
			return false, err
		}
		return true, errors.Join(os.Chmod(path, mode), os.Chown(path, uid, gid))
	})
}

// text writes a file if it says something else. How it is told to a shell is for the caller to say.
func (p *plan) text(say, path string, mode fs.FileMode, owner string, text func() ([]byte, error)) {
	p.add(say, func(context.Context) (bool, error) {
		want, err := text()
		if err != nil {
			return false, err
		}
		have, err := os.ReadFile(path)
		if err == nil && bytes.Equal(have, want) {
			return false, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		uid, gid, err := idsOf(owner)
		if err != nil {
			return false, err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return false, err
		}
		return true, replace(path, bytes.NewReader(want), mode, uid, gid)
	})
}

// idsOf returns the ids of a user of the system and of its group; those of root for an empty name.
func idsOf(name string) (uid, gid int, err error) {
	if name == "" {
		return 0, 0, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}
