// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/oakestra/oakestra-ebpf/orchestrators/admission"
)

const (
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds the strangers that are let in at the same time; one more drops the oldest of them.
	maxHandshakes = 256
	// acceptPause follows a failed accept, such as one for want of file descriptors.
	acceptPause = 50 * time.Millisecond
)

var errCrowded = errors.New("dropped to make room: too many wait for a handshake")

// listener accepts TLS connections for the broker. The handshake runs apart from accepting and within a time-out, so that a
// silent peer holds nobody up.
type listener struct {
	net    net.Listener
	tls    *tls.Config
	log    *slog.Logger
	closed atomic.Bool
}

func (l *listener) ID() string              { return "mqtt" }
func (l *listener) Address() string         { return l.net.Addr().String() }
func (l *listener) Protocol() string        { return "tls" }
func (l *listener) Init(*slog.Logger) error { return nil }

// Serve accepts until the listener closes.
func (l *listener) Serve(establish listeners.EstablishFn) {
	strangers := admission.NewQueue(maxHandshakes)
	for {
		conn, err := l.net.Accept()
		if err != nil {
			if l.closed.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			l.log.Warn("accept failed", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		leave := strangers.Enter(conn)
		go func() {
			tc := tls.Server(conn, l.tls)
			ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
			err := tc.HandshakeContext(ctx)
			cancel()
			if still := leave(); err == nil && !still {
				err = errCrowded
			}
			if err != nil {
				l.log.Info("TLS handshake failed", "remote", conn.RemoteAddr(), "error", err)
				_ = conn.Close()
				return
			}
			// The CONNECT packet has to follow soon; afterwards the client's keepalive sets the deadline.
			_ = tc.SetDeadline(time.Now().Add(handshakeTimeout))
			// On a goroutine of its own, since one that has shaken hands keeps the memory that this took.
			go func() {
				if err := establish(l.ID(), tc); err != nil {
					l.log.Debug("mqtt client left", "remote", conn.RemoteAddr(), "error", err)
				}
			}()
		}()
	}
}

// Close stops accepting and ends all clients.
func (l *listener) Close(closeClients listeners.CloseFn) {
	if l.closed.CompareAndSwap(false, true) {
		_ = l.net.Close()
		closeClients(l.ID())
	}
}
