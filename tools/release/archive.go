// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file that goes into an archive.
type entry struct {
	name string // slash-separated
	// from is the file that holds it; if that is empty, text is what it holds.
	from string
	text []byte
	mode int64
}

// open returns the content and its length in bytes.
func (e entry) open() (io.ReadCloser, int64, error) {
	if e.from == "" {
		return io.NopCloser(strings.NewReader(string(e.text))), int64(len(e.text)), nil
	}
	f, err := os.Open(e.from)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

// writeArchive writes a compressed tar of the entries, which depends on nothing but them and the time.
func writeArchive(path string, at time.Time, entries []entry) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // for everybody to read
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}()
	packed, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(packed)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	folders := map[string]bool{".": true}
	for _, e := range entries {
		if err := addFolders(out, at, filepath.ToSlash(filepath.Dir(e.name)), folders); err != nil {
			return err
		}
		if err := addFile(out, at, e); err != nil {
			return err
		}
	}
	return errors.Join(out.Close(), packed.Close())
}

func header(name string, kind byte, mode, size int64, at time.Time) *tar.Header {
	return &tar.Header{Format: tar.FormatUSTAR, Typeflag: kind, Name: name, Mode: mode, Size: size, ModTime: at, Uname: "root", Gname: "root"}
}

func addFolders(out *tar.Writer, at time.Time, dir string, known map[string]bool) error {
	if known[dir] {
		return nil
	}
	if err := addFolders(out, at, filepath.ToSlash(filepath.Dir(dir)), known); err != nil {
		return err
	}
	known[dir] = true
	return out.WriteHeader(header(dir+"/", tar.TypeDir, 0o755, 0, at))
}

func addFile(out *tar.Writer, at time.Time, e entry) error {
	in, size, err := e.open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := out.WriteHeader(header(e.name, tar.TypeReg, e.mode, size, at)); err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return err
}
