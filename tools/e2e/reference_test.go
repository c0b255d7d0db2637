// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/reference"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
)

// TestReference has a client that knows nothing but the original's documentation take the three descriptors that the original ships through their
// life, in real containers. Then a worker is drained while an application runs.
func TestReference(t *testing.T) {
	s := raise(t, 2)
	t.Run("Descriptors", func(t *testing.T) { descriptors(t, s) })
	t.Run("Drain", func(t *testing.T) { drain(t, s) })
}

// descriptors: those of the original, their images under the same names in the testbed's registry.
func descriptors(t *testing.T, s *scene.Scene) {
	api := s.Testbed.API()
	c, err := reference.Login(t.Context(), api.URL, api.Username, api.Password)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../control/sla/testdata/*.json")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	hosts := regexp.MustCompile(`"(docker\.io|ghcr\.io)/([^"]+)"`)
	pushed := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range hosts.FindAllSubmatch(raw, -1) {
			if image := string(m[2]); !pushed[image] {
				pushed[image] = true
				tag(t, s, image)
			}
		}
		raw = hosts.ReplaceAll(raw, []byte(`"`+s.Testbed.Registry()+`/$2"`))
		start := time.Now()
		if err := c.Play(t.Context(), raw); err != nil {
			t.Fatalf("%s: %v", filepath.Base(file), err)
		}
		t.Logf("%s has lived for %s", filepath.Base(file), time.Since(start).Round(time.Millisecond))
	}
}

// tag pushes an image under a name of the original's: of curl's the shell, curl and what they need from this machine, of all others the sample
// server, which answers as they would.
func tag(t *testing.T, s *scene.Scene, image string) {
	t.Helper()
	dir, cmd := t.TempDir(), []string{"/" + scene.ImageServer}
	if strings.Contains(image, "curl") {
		cmd = nil
		for _, program := range []string{"sh", "sleep", "curl"} {
			install(t, dir, program)
		}
	} else {
		built, err := bin()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(built, "images", scene.ImageServer)
	}
	if _, err := s.Testbed.Image(t.Context(), image, dir, cmd); err != nil {
		t.Fatal(err)
	}
}

// install copies a program of this machine and the libraries that it is linked with below dir.
func install(t *testing.T, dir, program string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ldd", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	copyTo(t, path, filepath.Join(dir, "bin", program))
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			copyTo(t, word, filepath.Join(dir, word))
		}
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, bytes.Clone(content), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// drain: what runs on a worker goes to the other, and root is never told of an instance that does not run.
func drain(t *testing.T, s *scene.Scene) {
	application(t, s, "hello.json")
	from := deploy(t, s, "server", servers)[0].Worker
	v := service(t, s, "server")
	workers, err := s.API.Workers(t.Context())
	if err != nil || len(workers) != 2 {
		t.Fatal(workers, err)
	}
	i := slices.IndexFunc(workers, func(w client.Worker) bool { return w.Name == from })
	if i < 0 {
		t.Fatalf("no worker is called %s: %+v", from, workers)
	}
	if _, err := s.API.SetWorkerMode(t.Context(), workers[i].ID, wire.WorkerDrained, "by a test"); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(ctx context.Context) error {
		now, err := s.Service(ctx, "server")
		if err != nil {
			return err
		}
		for _, one := range now.Instances {
			if one.Status != wire.StateRunning {
				t.Errorf("instance %d is %s (%s) while its worker is drained", one.Number, one.Status, one.StatusDetail)
			}
		}
		got, err := s.Containers(ctx, string(v.ID))
		if err != nil {
			return err
		}
		w, err := s.API.Worker(ctx, workers[i].ID)
		if err != nil {
			return err
		}
		left := slices.ContainsFunc(got, func(c scene.Container) bool { return c.Worker == from })
		if left || len(got) != servers || w.Instances+w.Leaving != 0 {
			return fmt.Errorf("%d containers, some on %s: %v, which is told to have %d", len(got), from, left, w.Instances+w.Leaving)
		}
		return nil
	})
	if _, err := s.API.SetWorkerMode(t.Context(), workers[i].ID, wire.WorkerOpen, ""); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(ctx context.Context) error {
		w, err := s.API.Worker(ctx, workers[i].ID)
		if err == nil && (w.Mode != wire.WorkerOpen || w.Wanted == nil || !w.Wanted.Taken) {
			err = fmt.Errorf("it is %s", w.Mode)
		}
		return err
	})
	remove(t, s, "hello")
}
