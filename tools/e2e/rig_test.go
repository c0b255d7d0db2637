// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// raise brings a testbed with one cluster up, with both images pushed, and takes it down when the test ends.
func raise(t *testing.T, workers int) *scene.Scene {
	t.Helper()
	return raiseOver(t, workers, ipv4)
}

// raiseOver does so on an underlay of that family.
func raiseOver(t *testing.T, workers int, under family) *scene.Scene {
	t.Helper()
	return raiseWith(t, workers, under, func(*testbed.Options) {})
}

// raiseWith does so with other options.
func raiseWith(t *testing.T, workers int, under family, change func(*testbed.Options)) *scene.Scene {
	t.Helper()
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	self, err := proc.Find(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	o := testbed.Options{
		Dir: testbed.DefaultDir, Bin: dir, Self: filepath.Join(dir, "oak-testbed"),
		Clusters: 1, Workers: workers, Fsync: true, Owner: &self, IPv6: under.name == ipv6.name,
	}
	change(&o)
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, o.Dir)
		}
		if err := testbed.Down(context.Background(), o.Dir); err != nil {
			t.Error(err)
		}
	})
	start := time.Now()
	tb, err := testbed.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("testbed of %d clusters with %d workers each is up after %s", o.Clusters, o.Workers, time.Since(start).Round(time.Millisecond))
	s, err := scene.New(t.Context(), tb, dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PushImages(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// keepLogs copies the logs of all components to where the next testbed does not remove them.
func keepLogs(t *testing.T, dir string) {
	t.Helper()
	to, err := os.MkdirTemp("", "oak-e2e-"+strings.ReplaceAll(t.Name(), "/", "-")+"-")
	if err != nil {
		t.Log(err)
		return
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(dir, "logs"))); err != nil {
		t.Log(err)
	}
	t.Logf("the logs of all components are in %s", to)
}

// application creates the applications of a descriptor file in testdata, which names the registry of a testbed over IPv4.
func application(t *testing.T, s *scene.Scene, file string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	over4 := net.JoinHostPort(underlay.IPv4.Machine.String(), "5000")
	raw = bytes.ReplaceAll(raw, []byte(over4), []byte(s.Testbed.Registry()))
	if _, err := s.API.CreateApplication(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
}

// deploy asks for n instances of a service and waits until containerd runs that many.
func deploy(t *testing.T, s *scene.Scene, name string, n int) []scene.Container {
	t.Helper()
	v, err := s.Service(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
	}
	return awaitRunning(t, s, name, n)
}

// awaitRunning waits until n instances of a service run, as root and containerd both say.
func awaitRunning(t *testing.T, s *scene.Scene, name string, n int) []scene.Container {
	t.Helper()
	var got []scene.Container
	until(t, time.Minute, func(ctx context.Context) error {
		v, err := s.Service(ctx, name)
		if err != nil {
			return err
		}
		if got, err = s.Containers(ctx, string(v.ID)); err != nil {
			return err
		}
		return allRun(v, got, n)
	})
	return got
}

// until fails the test unless f succeeds in time.
func until(t *testing.T, within time.Duration, f func(context.Context) error) {
	t.Helper()
	if err := scene.Until(t.Context(), within, f); err != nil {
		t.Fatal(err)
	}
}

// fault does something to components, all named COMPONENT@HOST.
func fault(t *testing.T, do func(context.Context, string) error, components ...string) {
	t.Helper()
	for _, c := range components {
		if err := do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// status returns the HTTP status of an error of the API; 0 if it is none.
func status(err error) int {
	for _, code := range []int{
		http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable,
		http.StatusConflict, http.StatusNotFound,
	} {
		if client.HasStatus(err, code) {
			return code
		}
	}
	return 0
}
