// SPDX-License-Identifier: Apache-2.0

package netspace

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamespaceLivesAndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "netns")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	path, err := f.Create(t.Context(), "x.0.1-1")
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(path)
	if err != nil || os.SameFile(own, first) {
		t.Fatalf("not a namespace of its own: %v", err)
	}
	if ifs, err := net.Interfaces(); err != nil || len(ifs) == 0 {
		t.Fatalf("this process lost its interfaces: %v", err)
	}
	if _, err := f.Create(t.Context(), "x.0.1-1"); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Stat(path); !os.SameFile(first, again) {
		t.Fatal("a second Create replaced the namespace")
	}
	if ids, err := f.List(); err != nil || len(ids) != 1 || ids[0] != "x.0.1-1" {
		t.Fatalf("%v %v", ids, err)
	}
	for range 2 {
		if err := f.Remove("x.0.1-1"); err != nil {
			t.Fatal(err)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), dir) {
		t.Fatal("a mount is left")
	}
	if ids, _ := f.List(); len(ids) != 0 {
		t.Fatalf("files left: %v", ids)
	}
}

func TestStaleFileIsPopulated(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path("a"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	path, err := f.Create(t.Context(), "a")
	if err != nil || !mounted(path) {
		t.Fatalf("a file left by a reboot was not made a namespace: %v", err)
	}
	if err := f.Remove("a"); err != nil {
		t.Fatal(err)
	}
}

// TestNoThreadStaysBehind makes enough namespaces for one to be made on the main thread, which Go never ends: no thread may be left in one,
// or it would live as long as NodeEngine.
func TestNoThreadStaysBehind(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if _, err := f.Create(t.Context(), "x.0.1-1"); err != nil {
			t.Fatal(err)
		}
		if err := f.Remove("x.0.1-1"); err != nil {
			t.Fatal(err)
		}
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("list threads: %d, %v", len(threads), err)
	}
	for _, thread := range threads {
		if ns, err := os.Readlink(thread); err == nil && ns != own {
			t.Errorf("%s is in %s, want %s", thread, ns, own)
		}
	}
}
