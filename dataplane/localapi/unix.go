// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// peerKey is the context key of a connection's peer.
type peerKey struct{}

// ListenUnix listens on a Unix socket that its owner alone may open. A socket that a killed process has left is replaced; one
// that somebody serves is not.
func ListenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the local API's socket: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another process serves this socket: stop it or choose another with --socket", path)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the local API: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("close the local API's socket to others: %w", err)
	}
	return l, nil
}

// removeSocket removes nothing but sockets.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the local API's socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen on %s: it exists and is no socket: choose another path with --socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of an earlier process: %w", err)
	}
	return nil
}

// ServeUnix serves h on l until ctx ends, to processes of root and of this process's own user.
func ServeUnix(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	return serve(ctx, l, peersOnly(h, log), func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, peerUID(c))
	})
}

// peersOnly refuses everybody but root and the own user.
func peersOnly(h http.Handler, log *slog.Logger) http.Handler {
	refusal := &handler{log: log}
	own := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(int)
		if !ok || uid < 0 || (uid != 0 && uid != own) {
			log.Warn("refused a local API call", "uid", uid, "path", r.URL.Path)
			refusal.refuse(w, http.StatusForbidden, errors.New("this API is for processes of root only"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// peerUID returns the user of the process at the other end, as the kernel knows it; -1 if it cannot be told.
func peerUID(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1
	}
	uid := -1
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid
}
