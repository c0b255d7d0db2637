// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// PathStatus answers GET with a [Status].
const PathStatus = "/v1/status"

// socketName is the socket's name in the run folder; maxAnswer bounds what a client reads, in bytes.
const (
	socketName = "nodeengine.sock"
	maxAnswer  = 64 << 20
)

// Status is how a NodeEngine is.
type Status struct {
	Version  string `json:"version"`
	WorkerID string `json:"worker_id"`
	Name     string `json:"name"`
	// Cluster is HOST:PORT of the cluster that the worker joined.
	Cluster string `json:"cluster"`
	// Connected is true while the MQTT session with the cluster is up.
	Connected bool `json:"connected"`
	// Overlay is true while instances can be attached; OverlayReason says why not.
	Overlay       bool   `json:"overlay"`
	OverlayReason string `json:"overlay_reason,omitempty"`
	// Applied is the stamp of the desired state that is stored.
	Applied wire.Stamp `json:"applied"`
	// Refused says why the cluster's last desired state was not taken over, such as for a format that is too new; empty if it was.
	Refused   string                `json:"refused,omitempty"`
	Instances []wire.WorkerInstance `json:"instances"`
}

// Socket returns the path of the socket in a run folder.
func Socket(runDir string) string { return filepath.Join(runDir, socketName) }

// Serve answers on the socket until ctx ends. A socket that a dead NodeEngine left is replaced.
func Serve(ctx context.Context, socket string, status func() Status) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("serve local API: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("serve local API: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("serve local API: %w", err), ln.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathStatus, func(w http.ResponseWriter, _ *http.Request) {
		s := status()
		if s.Instances == nil {
			s.Instances = []wire.WorkerInstance{}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // the reader went away
	})
	srv := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(rootOnly{ln}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve local API: %w", err)
	}
	return nil
}

// rootOnly accepts connections of root's processes and drops others, whatever the mode of the socket.
type rootOnly struct{ net.Listener }

func (l rootOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(conn); err == nil && uid == 0 {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func peerUID(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// Get asks the NodeEngine behind the socket.
func Get(ctx context.Context, socket string) (Status, error) {
	var s Status
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nodeengine"+PathStatus, nil)
	if err != nil {
		return s, fmt.Errorf("ask NodeEngine: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask NodeEngine on %s: %w: is it running, is --run-dir the same, and are you root?", socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&s); err != nil {
		return s, fmt.Errorf("read NodeEngine's answer: %w", err)
	}
	return s, nil
}
