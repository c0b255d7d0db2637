// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 17 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0"
	for name, line := range map[string]string{
		"plain": "42 (sleep)" + rest, "spaces and brackets": "42 (a) S 1 (b c)" + rest,
	} {
		s, err := parseStat(line)
		if err != nil || s.state != 'S' || s.parent != 17 || s.threads != 1 || s.start != 987654 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for _, line := range []string{"", "42", "42 (x)", "42 (x) S 1", "42 (x) S y 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9"} {
		if _, err := parseStat(line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("42 (sleep) S 17 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0")
	f.Add(") ")
	f.Fuzz(func(t *testing.T, line string) {
		if s, err := parseStat(line); err == nil && s.state == 0 {
			t.Error("accepted without a state")
		}
	})
}

func sleeper(t *testing.T, env ...string) ID {
	t.Helper()
	id, err := Start(Spec{Path: "/bin/sh", Args: []string{"-c", "sleep 60 & wait"}, Env: env, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		all, err := Descendants(id.PID)
		if err != nil {
			t.Error(err)
		}
		if err := Kill(context.Background(), all...); err != nil {
			t.Error(err)
		}
	})
	return id
}

func TestLife(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	id := sleeper(t)
	if id.State() != Running {
		t.Fatalf("state is %s", id.State())
	}
	if err := id.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for id.State() != Stopped {
		if ctx.Err() != nil {
			t.Fatalf("state is %s after SIGSTOP", id.State())
		}
	}
	other := id
	other.Start++
	if other.State() != Dead || !errors.Is(other.Signal(syscall.SIGKILL), ErrGone) {
		t.Error("a later process with the same number is taken for the same one")
	}
	all, err := Descendants(id.PID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(all, id) {
		t.Errorf("descendants %v lack the process itself", all)
	}
	if err := Kill(ctx, all...); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.State() != Dead {
			t.Errorf("process %d is %s after it was killed", p.PID, p.State())
		}
	}
	if err := id.Signal(syscall.SIGCONT); !errors.Is(err, ErrGone) {
		t.Errorf("signal to a dead process: %v", err)
	}
}

func TestScanByEnvironment(t *testing.T) {
	mark := "OAK_TEST_MARK=" + t.Name() + "/" + t.TempDir()
	id := sleeper(t, "PATH=/bin:/usr/bin", mark)
	other := sleeper(t, "PATH=/bin:/usr/bin")
	var found []ID
	for deadline := time.Now().Add(5 * time.Second); len(found) < 2 && time.Now().Before(deadline); {
		var err error
		if found, err = Scan(Marker{Env: mark}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(found, id) || len(found) != 2 { // the shell and its sleep
		t.Errorf("found %v, want process %d and its child", found, id.PID)
	}
	if slices.Contains(found, other) {
		t.Error("an unmarked process was found")
	}
	t.Setenv("OAK_TEST_MARK", "x")
	if found, err := Scan(Marker{}); err != nil || len(found) != 0 {
		t.Errorf("an empty marker finds %v, %v", found, err)
	}
}

func TestScanSparesTheCaller(t *testing.T) {
	self, err := Find(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ids := collect(map[int]bool{self.PID: true}, nil, map[int]bool{self.PID: true})
	if len(ids) != 0 {
		t.Errorf("collected %v", ids)
	}
}

func TestRootFrom(t *testing.T) {
	const dir = "/var/lib/oak-testbed"
	for name, c := range map[string]struct {
		mountinfo string
		want      bool
	}{
		"container":       {"600 500 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/oak-testbed/hosts/c1-w1/a,upperdir=/x\n", true},
		"another's":       {"600 500 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/a\n", false},
		"private /tmp":    {"1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:50 / /var/lib/oak-testbed/x rw - overlay overlay rw\n", false},
		"similar folder":  {"600 500 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/oak-testbed2/a\n", false},
		"nothing at all":  {"", false},
		"a torn line":     {"600 500 0:50 /", false},
		"bind mount root": {"600 500 8:1 /var/lib/oak-testbed/hosts/c1-w1/root / rw - ext4 /dev/vda rw\n", true},
	} {
		if got := rootFrom(c.mountinfo, dir); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
