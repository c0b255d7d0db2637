// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
)

// largestFile bounds what is read of a package's file; a kernel has some tens of MiB.
const largestFile = 256 << 20

// readDeb returns those regular files of a Debian package that are wanted, by path without a leading slash.
func readDeb(ctx context.Context, deb string, want func(name string) bool) (map[string][]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends dpkg-deb where reading ended early
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", deb, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", deb, err)
	}
	files, err := readTar(pipe, want)
	if err != nil {
		cancel()
		_ = cmd.Wait()
		return nil, fmt.Errorf("unpack %s: %w", deb, err)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil { // the padding
		cancel()
		_ = cmd.Wait()
		return nil, fmt.Errorf("unpack %s: %w", deb, err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w: %s", deb, err, strings.TrimSpace(failed.String()))
	}
	return files, nil
}

func readTar(r io.Reader, want func(name string) bool) (map[string][]byte, error) {
	files := map[string][]byte{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag != tar.TypeReg || !want(name) {
			continue
		}
		if h.Size > largestFile {
			return nil, fmt.Errorf("file %s has %d bytes, %d at most are read", name, h.Size, largestFile)
		}
		if files[name], err = io.ReadAll(t); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
}
