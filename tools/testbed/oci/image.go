// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// maxRootFS bounds the root file systems taken in, in bytes: images are held in memory, twice.
const maxRootFS = 1 << 30

// errTooLarge refuses a root file system over [maxRootFS].
var errTooLarge = fmt.Errorf("root file system is larger than %d MiB", maxRootFS>>20)

// FromDir returns an image of this machine's architecture whose only layer is what dir holds and whose command is cmd.
// Files belong to root; times are left out, so that the same folder gives the same image.
func FromDir(dir string, cmd []string) (v1.Image, error) {
	layerTar, err := archive(dir)
	if err != nil {
		return nil, fmt.Errorf("pack %s into a layer: %w", dir, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layerTar)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("make a layer of %s: %w", dir, err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", dir, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", dir, err)
	}
	file = file.DeepCopy()
	// An image that names no platform is passed over silently when it is unpacked.
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Cmd = cmd
	file.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", dir, err)
	}
	return img, nil
}

// archive returns dir as a tar archive.
func archive(dir string) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		if buf.Len() > maxRootFS {
			return errTooLarge
		}
		return add(w, path, name, d)
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func add(w *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	var link string
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	head, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	*head = tar.Header{
		Typeflag: head.Typeflag, Name: filepath.ToSlash(name), Linkname: head.Linkname,
		Size: head.Size, Mode: head.Mode, Devmajor: head.Devmajor, Devminor: head.Devminor,
	}
	if err := w.WriteHeader(head); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > maxRootFS {
		return errTooLarge
	}
	_, err = io.Copy(w, f)
	return err
}
