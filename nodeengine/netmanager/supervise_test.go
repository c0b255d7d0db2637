// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// starts are the processes that a program of a test has been.
func starts(t *testing.T, file string) (pids []int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(line)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	return pids
}

func ends(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, 10*time.Second, 10*time.Millisecond, "process %d ends", pid)
}

// TestSupervisor: a NetManager that answers is left alone; where none does one is started, again when it is killed, and it ends with the supervisor.
func TestSupervisor(t *testing.T) {
	dir := t.TempDir()
	socket, log, program := filepath.Join(dir, "s"), filepath.Join(dir, "starts"), filepath.Join(dir, "NetManager")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n[ \"$1 $2 $3\" = \"--socket "+socket+" --name\" ] || exit 9\necho $$ >>"+log+"\nexec sleep 1000\n"), 0o700)) //nolint:gosec // it is to be run
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, wire.PathLocalStatus, r.URL.Path)
		_, _ = io.WriteString(w, "{}")
	})}
	go func() { _ = server.Serve(l) }()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	s := Supervisor{Program: program, Args: []string{"--name", "w"}, Socket: socket, Output: io.Discard, Log: slog.New(slog.DiscardHandler)}
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	require.Never(t, func() bool { return len(starts(t, log)) > 0 }, 300*time.Millisecond, 20*time.Millisecond, "there is one already")
	require.NoError(t, server.Close())
	for n := 1; n <= 3; n++ {
		require.Eventually(t, func() bool { return len(starts(t, log)) == n }, 20*time.Second, 10*time.Millisecond, "start %d", n)
		pid := starts(t, log)[n-1]
		if n < 3 {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	cancel()
	<-done
	ends(t, starts(t, log)[2])
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{"6000": "127.0.0.1:6000", "/run/x.sock": "/run/x.sock"} {
		a, err := ParseAddress(text)
		require.NoError(t, err)
		require.Equal(t, want, a.String())
	}
	for _, text := range []string{"", "0", "70000", "x.sock", "127.0.0.1:6000"} {
		_, err := ParseAddress(text)
		require.Error(t, err, text)
	}
}

// TestAPortWantsTheToken, which is read anew for each request.
func TestAPortWantsTheToken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	want := "first"
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+want {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "{}")
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	file := filepath.Join(t.TempDir(), "token")
	a, err := ParseAddress(strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	require.NoError(t, err)
	a.TokenFile = file
	c := NewAt(a)
	_, err = c.Status(t.Context())
	require.ErrorContains(t, err, "is NetManager running with -p")
	for _, want = range []string{"first", "second"} {
		require.NoError(t, os.WriteFile(file, []byte(want+"\n"), 0o600))
		_, err = c.Status(t.Context())
		require.NoError(t, err)
	}
}
