// SPDX-License-Identifier: Apache-2.0

// Package mosquittotest runs mosquitto on loopback for tests, as the external broker of an authority's cluster.
package mosquittotest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// Server is a mosquitto that runs, or that can be started again at the same place.
type Server struct {
	// Addr is its HOST:PORT.
	Addr string

	t    *testing.T
	path string
	dir  string
	conf string
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// Start starts mosquitto; it ends with the test.
func Start(t *testing.T, ca *identity.CA) *Server {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	require.FileExists(t, path, "install the package mosquitto: make deps does")
	me, err := user.Current()
	require.NoError(t, err)
	account := me.Username
	if os.Geteuid() == 0 {
		account = "mosquitto"
	}
	// Not t.TempDir: mosquitto's own account has to pass it.
	dir, err := os.MkdirTemp("", "mosquitto-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr, ok := ln.Addr().(*net.TCPAddr)
	require.True(t, ok)
	require.NoError(t, ln.Close())
	s := &Server{t: t, path: path, dir: filepath.Join(dir, "broker"), Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))}
	s.conf, err = external.Prepare(ca, external.Setup{Dir: s.dir, User: account, Port: uint16(addr.Port), TTL: time.Hour})
	require.NoError(t, err)
	s.Resume()
	t.Cleanup(s.Kill)
	return s
}

// Resume starts it after Kill, and returns when it listens.
func (s *Server) Resume() {
	s.t.Helper()
	cmd := exec.Command(s.path, "-c", s.conf) //nolint:gosec // a program of the distribution
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	require.NoError(s.t, cmd.Start())
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	s.cmd, s.done = cmd, done
	require.Eventually(s.t, func() bool {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, 10*time.Second, 10*time.Millisecond, "mosquitto does not listen")
}

// Kill ends it at once.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
	if s.t.Failed() {
		s.t.Logf("mosquitto: %s", s.log.String())
	}
}

// End ends it as its service manager would, upon which it stores what it retains.
func (s *Server) End() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	<-s.done
}

// Forget removes what a stopped one has stored.
func (s *Server) Forget() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "data", "*"))
	require.NoError(s.t, err)
	for _, f := range files {
		require.NoError(s.t, os.Remove(f))
	}
}
