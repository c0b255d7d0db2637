// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// known are secrets by name.
type known struct {
	mu     sync.Mutex
	values map[string]string
}

func (k *known) Value(_ context.Context, _ string, ref wire.SecretRef) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.values[ref.Name]; ok {
		return []byte(v), nil
	}
	return nil, fmt.Errorf("get secret %s: there is none", ref.Name)
}

const password = "correct-horse-battery"

func testSecrets(t *testing.T, g *rig) {
	k := &known{values: map[string]string{"pass": password, "pem": "line one\nline two " + password, "binary": "a\x00b"}}
	g.secrets = k
	g.connect()
	in := g.instance(140, "read", "/etc/pem", "/run/secrets/pass")
	in.Spec.Environment = append(in.Spec.Environment, "PASS=of the descriptor")
	in.Spec.Secrets = []wire.SecretRef{{Name: "pass", Version: 1, Env: "PASS"}, {Name: "pem", Version: 1, File: "/etc/pem"}, {Name: "pass", Version: 1, File: "/run/secrets/pass"}}
	id := g.start(in)
	log := g.log(id, "ready")
	for _, want := range []string{"PASS=" + password, "MINE=yes", "/etc/pem=line one\nline two " + password + " -r--r--r-- <nil>", "/run/secrets/pass=" + password + " "} {
		if !strings.Contains(log, want) {
			t.Errorf("container does not see %q: %s", want, log)
		}
	}
	if strings.Contains(log, "of the descriptor") || strings.Contains(log, "written <nil>") {
		t.Errorf("container sees or writes what it should not: %s", log)
	}
	// In memory, readable by nobody else, and in nothing that containerd keeps.
	dir := g.secretsDir(id)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("%s is no file system in memory: %x, %v", dir, fs.Type, err)
	}
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder of secrets: %v, %v", info, err)
	}
	c, err := g.client.LoadContainer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if record := string(info.Spec.GetValue()) + fmt.Sprint(info.Labels, info.Extensions); strings.Contains(record, password) {
		t.Errorf("containerd keeps the secret: %s", record)
	}
	// A command beside it has the same environment.
	if code, err := g.Execute(t.Context(), id, []string{"/probe", "exit", "3"}); err != nil || code != 3 {
		t.Errorf("execute: %d, %v", code, err)
	}
	if err := g.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("secrets stay when the container is gone: %v", err)
	}
	for name, refs := range map[string][]wire.SecretRef{
		"holds a NUL":   {{Name: "binary", Version: 1, Env: "B"}},
		"there is none": {{Name: "nothing", Version: 1, File: "/x"}},
	} {
		bad := g.instance(141, "stay")
		bad.Spec.Secrets = refs
		path, err := g.netns.Create(t.Context(), bad.ID())
		if err != nil {
			t.Fatal(err)
		}
		err = g.Create(t.Context(), bad, path)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), password) {
			t.Errorf("want %q, got %v", name, err)
		}
		_ = g.Remove(t.Context(), bad.ID())
		_ = g.netns.Remove(bad.ID())
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Dir(dir), unix.MNT_DETACH) })

	// A run folder that is on a disk gets a file system in memory, once.
	own := filepath.Join(t.TempDir(), "secrets")
	for range 2 {
		if err := inMemory(own); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Statfs(own, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("%s is no file system in memory: %x, %v", own, fs.Type, err)
	}
	if err := os.Remove(own); err == nil { // it was in memory before
		return
	}
	if err := unix.Unmount(own, 0); err != nil {
		t.Error(err)
	}
	if err := unix.Statfs(own, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Errorf("mounted twice: %v", err)
	}
}

// guarded starts a registry on loopback that wants a name and a password, in front of another one.
func guarded(t *testing.T, registry string) (address string) {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, pass, ok := req.BasicAuth(); !ok || user != "robot" || pass != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func testCredentials(t *testing.T, g *rig) {
	g.closed = guarded(t, g.registry)
	login := func(server, user, pass string) string {
		return fmt.Sprintf(`{"server":%q,"username":%q,"password":%q}`, server, user, pass)
	}
	k := &known{values: map[string]string{"good": login(g.closed, "robot", password), "wrong": login(g.closed, "robot", "no"), "elsewhere": login("other.example", "robot", password), "junk": "x"}}
	g.secrets = k
	g.connect()
	spec := g.instance(142).Spec
	spec.Image = g.closed + strings.TrimPrefix(spec.Image, g.registry)
	for _, name := range []string{"", "wrong", "elsewhere", "junk", "none"} {
		spec.RegistryCredentials = &wire.SecretRef{Name: name, Version: 1}
		if name == "" {
			spec.RegistryCredentials = nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := g.Pull(ctx, spec)
		cancel()
		if err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("pull with credentials %q: %v", name, err)
		}
	}
	spec.RegistryCredentials = &wire.SecretRef{Name: "good", Version: 1}
	if err := g.Pull(t.Context(), spec); err != nil {
		t.Error(err)
	}
	if err := g.client.ImageService().Delete(t.Context(), spec.Image, images.SynchronousDelete()); err != nil {
		t.Error(err)
	}
}
