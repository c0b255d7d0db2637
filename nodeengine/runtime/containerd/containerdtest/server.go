// SPDX-License-Identifier: Apache-2.0

package containerdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

const config = `version = 2
root = %[1]q
state = %[2]q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.tracing", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[4]q
`

// Namespace is the containerd namespace that tests use.
const Namespace = "oakestra"

// Server is a private containerd.
type Server struct {
	// Dir holds everything; on tmpfs, since fsync costs.
	Dir    string
	Socket string
	cmd    *exec.Cmd
	ended  <-chan struct{}
}

// Start starts a containerd that ends with the test, together with all its containers.
func Start(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "oakctd")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, Socket: filepath.Join(dir, "c.sock")}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := fmt.Sprintf(config, filepath.Join(dir, "root"), filepath.Join(dir, "state"), s.Socket, filepath.Join(dir, "opt"))
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Run(t)
	t.Cleanup(func() {
		s.removeAll(t)
		s.Stop()
	})
	return s
}

// Run starts the daemon, again after a Stop.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.cmd = exec.Command("containerd", "--config", filepath.Join(s.Dir, "config.toml"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan struct{})
	s.ended = ended
	go func() {
		// The death signal comes when the thread that forked ends, so the thread is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start containerd: %v: install the Debian package containerd", err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := client.New(s.Socket, client.WithTimeout(time.Second))
		if err == nil {
			_, err = c.Version(context.Background())
			_ = c.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			t.Fatalf("containerd does not answer: %v\n%s", err, text)
		}
	}
}

// Stop kills the daemon; containers run on.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Client returns a client of the server in the tests' namespace.
func (s *Server) Client(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(s.Socket, client.WithDefaultNamespace(Namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// removeAll ends what a test has left running, also after it failed.
func (s *Server) removeAll(t testing.TB) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), 30*time.Second)
	defer cancel()
	c, err := client.New(s.Socket)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	all, err := c.Containers(ctx)
	if err != nil {
		t.Logf("containers may be left: %v", err)
	}
	for _, ctr := range all {
		if task, err := ctr.Task(ctx, nil); err == nil {
			_, _ = task.Delete(ctx, client.WithProcessKill)
		}
		_ = ctr.Delete(ctx, client.WithSnapshotCleanup)
	}
}
