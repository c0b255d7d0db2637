// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func rootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "hello"), []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("bin/hello", filepath.Join(dir, "init")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFromDir(t *testing.T) {
	dir := rootfs(t)
	img, err := FromDir(dir, []string{"/bin/hello", "-v"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.OS != "linux" || file.Architecture != runtime.GOARCH || !slices.Equal(file.Config.Cmd, []string{"/bin/hello", "-v"}) {
		t.Errorf("platform %s/%s, command %q", file.OS, file.Architecture, file.Config.Cmd)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	rc, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rc.Close() }()
	got := map[string]tar.Header{}
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Clean(h.Name)] = *h
	}
	if h := got["bin/hello"]; h.Mode != 0o755 || h.Size != 7 || h.Uid != 0 || !h.ModTime.Before(time.Unix(1, 0)) {
		t.Errorf("file: %+v", h)
	}
	if h := got["init"]; h.Typeflag != tar.TypeSymlink || h.Linkname != "bin/hello" {
		t.Errorf("link: %+v", h)
	}
	first, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, err := FromDir(dir, []string{"/bin/hello", "-v"})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.Digest(); err != nil || second != first {
		t.Errorf("the same folder gives %s, then %s (%v)", first, second, err)
	}
}

func TestPushAndPull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, addr, slog.New(slog.DiscardHandler)) }()
	for deadline := time.Now().Add(5 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	ref, err := Push(ctx, addr, "team/hello", rootfs(t), []string{"/init"})
	if err != nil {
		t.Fatal(err)
	}
	if want := addr + "/team/hello:latest"; ref != want {
		t.Errorf("reference %s, want %s", ref, want)
	}
	tag, err := name.NewTag(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	if file, err := img.ConfigFile(); err != nil || !slices.Equal(file.Config.Cmd, []string{"/init"}) {
		t.Errorf("pulled %+v, %v", file, err)
	}
	if _, err := Push(ctx, addr, "Not A Name", rootfs(t), nil); err == nil {
		t.Error("a broken name is accepted")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("registry ends with %v", err)
	}
}
