// SPDX-License-Identifier: Apache-2.0

package containerdtest

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// probe is the program in test images. Its arguments say what it does.
const probe = `package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	switch os.Args[1] {
	case "env":
		for _, e := range os.Environ() {
			fmt.Println(e)
		}
		h, _ := os.ReadFile("/etc/hostname")
		r, _ := os.ReadFile("/etc/resolv.conf")
		fmt.Printf("%shostname %s", r, h)
		return
	case "read":
		for _, name := range os.Args[2:] {
			text, err := os.ReadFile(name)
			info, _ := os.Stat(name)
			fmt.Printf("%s=%s %v %v\n", name, text, info.Mode().Perm(), err)
			_, err = os.OpenFile(name, os.O_WRONLY, 0)
			fmt.Println("written", err)
		}
		for _, e := range os.Environ() {
			fmt.Println(e)
		}
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "eat":
		mb, _ := strconv.Atoi(os.Args[2])
		b := make([]byte, mb<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("ate", len(b))
	case "spin":
		for {
		}
	case "talk":
		n, _ := strconv.Atoi(os.Args[2])
		line := make([]byte, 1023)
		for i := range line {
			line[i] = 'x'
		}
		for range n {
			fmt.Println(string(line))
		}
	case "say": // to standard output and error, and ends with a code
		fmt.Println(os.Args[2], os.Getenv("FROM_IMAGE"))
		fmt.Fprintln(os.Stderr, os.Args[3])
		code, _ := strconv.Atoi(os.Args[4])
		os.Exit(code)
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
		os.Exit(0)
	case "flood":
		line := make([]byte, 4096)
		for {
			if _, err := os.Stdout.Write(line); err != nil {
				os.Exit(1)
			}
		}
	case "size": // of the terminal, now and whenever it changes
		changed := make(chan os.Signal, 1)
		signal.Notify(changed, syscall.SIGWINCH)
		for {
			var s [4]uint16
			_, _, err := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&s)))
			fmt.Println("size", s[1], s[0], err)
			<-changed
		}
	case "background": // leaves a child that holds its output open
		cmd := exec.Command("/probe", "stay")
		cmd.Stdout = os.Stdout
		fmt.Println("gone", cmd.Start())
		os.Exit(0)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	}
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}
`

// Registry starts a registry on loopback that speaks plain HTTP and returns its HOST:PORT.
func Registry(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// PushProbe builds the probe, pushes it as REGISTRY/probe:v1 and returns that reference. Its default is to print "ready" and stay.
func PushProbe(t testing.TB, registryHost string) string {
	t.Helper()
	return push(t, registryHost+"/probe:v1", build(t), runtime.GOARCH)
}

// PushForeign pushes an image for an architecture that is not this machine's.
func PushForeign(t testing.TB, registryHost string) string {
	t.Helper()
	return push(t, registryHost+"/foreign:v1", []byte("nothing that runs here"), "s390x")
}

func build(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	src, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "probe")
	if err := os.WriteFile(src, []byte(probe), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", bin, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build probe: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// push makes a one-layer image with the program at /probe.
func push(t testing.TB, image string, program []byte, arch string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("make image %s: %v", image, err)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}))
	_, err := w.Write(program)
	must(err)
	must(w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	must(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	must(err)
	cfg, err := img.ConfigFile()
	must(err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config = v1.Config{Entrypoint: []string{"/probe"}, Cmd: []string{"stay"}, Env: []string{"FROM_IMAGE=1"}}
	img, err = mutate.ConfigFile(img, cfg)
	must(err)
	ref, err := name.ParseReference(image, name.Insecure)
	must(err)
	must(remote.Write(ref, img))
	return image
}
