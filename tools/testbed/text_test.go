// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestContainerCgroup(t *testing.T) {
	for path, want := range map[string]bool{
		"/oakestra/5f2a/0123.0.1-1": true,
		"/init.scope/oakestra/x":    true,
		"/":                         false,
		"/user.slice":               false,
		"/oakestra":                 true,
		"/system.slice/oakestra2/x": false,
	} {
		if got := isContainerCgroup(path); got != want {
			t.Errorf("isContainerCgroup(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Errorf("got %q", got)
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 100)
	var b strings.Builder
	for range 1000 {
		b.WriteString(long + "\n")
	}
	b.WriteString("one\ntwo\n")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(file, 3); got != long+"\none\ntwo" {
		t.Errorf("got %q", got)
	}
	if got := tail(file+"-none", 3); got != "" {
		t.Errorf("of no file: %q", got)
	}
}

func TestLacking(t *testing.T) {
	cluster := func(name string, active bool, groups ...wire.AggregateGroup) client.Cluster {
		return client.Cluster{Name: name, Active: active, Aggregate: wire.Aggregate{Groups: groups}}
	}
	two := []wire.AggregateGroup{
		{Architecture: "amd64", Runtime: "container", Workers: 1}, {Architecture: "arm64", Runtime: "container", Workers: 1},
		{Architecture: "amd64", Runtime: "wasm", Workers: 1},
	}
	want := map[string]int{"c1": 2}
	for name, c := range map[string]struct {
		all []client.Cluster
		ok  bool
	}{
		"complete":     {[]client.Cluster{cluster("c1", true, two...)}, true},
		"none":         {nil, false},
		"inactive":     {[]client.Cluster{cluster("c1", false, two...)}, false},
		"one missing":  {[]client.Cluster{cluster("c1", true, two[:1]...)}, false},
		"counts twice": {[]client.Cluster{cluster("c1", true, two[0], two[2])}, false},
	} {
		if got := lacking(want, c.all); (got == "") != c.ok {
			t.Errorf("%s: lacking says %q", name, got)
		}
	}
}

func TestReachable(t *testing.T) {
	open := t.TempDir()
	for p := open; p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil && p == open {
			t.Fatal(err)
		}
		if filepath.Dir(p) == os.TempDir() {
			break
		}
	}
	closed := filepath.Join(open, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := reachable(filepath.Join(open, "data")); err != nil {
		t.Errorf("an open folder is refused: %v", err)
	}
	if err := reachable(filepath.Join(closed, "data")); err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("a closed folder: %v, want it named", err)
	}
}
