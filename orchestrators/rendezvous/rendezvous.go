// SPDX-License-Identifier: Apache-2.0

// Package rendezvous owns how an orchestrator waits for the tier below to dial up for a stream: who may come, for how long, and that each
// comes once. It knows nothing of what streams are for, and stores nothing.
package rendezvous

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
)

// ErrNobody is returned by [Meeting.Wait] when nobody came in time.
var ErrNobody = errors.New("nobody has connected in time")

// Place is where the two ends of streams meet.
type Place struct {
	mu       sync.Mutex
	meetings map[string]*Meeting
}

// New returns a place at which nobody is expected.
func New() *Place { return &Place{meetings: map[string]*Meeting{}} }

// Meeting is one end that is waited for.
type Meeting struct {
	// ID and Secret are for the request.
	ID, Secret string

	place *Place
	peer  string
	came  chan *stream.Conn // holds one
	left  bool              // under the place's lock
}

// Expect prepares for whoever has the certificate of peer to dial up. Leave has to follow.
func (p *Place) Expect(peer string) *Meeting {
	m := &Meeting{ID: pki.NewID(), Secret: pki.NewSecret(), place: p, peer: peer, came: make(chan *stream.Conn, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meetings[m.ID] = m
	return m
}

// Wait returns the connection once it is there. It fails with [ErrNobody] or with ctx.
func (m *Meeting) Wait(ctx context.Context, timeout time.Duration) (*stream.Conn, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case conn := <-m.came:
		return conn, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
		return nil, ErrNobody
	}
}

// Leave says that nobody is waited for any more. A connection that Wait has not returned is dropped.
func (m *Meeting) Leave() {
	m.place.mu.Lock()
	defer m.place.mu.Unlock()
	delete(m.place.meetings, m.ID)
	m.left = true
	select {
	case conn := <-m.came:
		conn.Abort(errLeft)
	default:
	}
}

var errLeft = errors.New("nobody waits for the stream any more")

// Open returns how many are waited for.
func (p *Place) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.meetings)
}

// take returns the meeting that a request is for, if it may come to it, and forgets it: a secret is good for once.
func (p *Place) take(id, peer, secret string) *Meeting {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.meetings[id]
	if m == nil || m.peer != peer || subtle.ConstantTimeCompare([]byte(m.Secret), []byte(secret)) != 1 {
		return nil
	}
	delete(p.meetings, id)
	return m
}

// Arrive is the route wire.PathStream. The certificate of the peer has to be shown, and the secret of the request.
func (p *Place) Arrive(c echo.Context) error {
	peer, ok := identity.PeerID(c.Request())
	if !ok {
		return httpapi.NewProblem(http.StatusUnauthorized, "no_certificate", "this needs the certificate of the tier that was asked, over TLS")
	}
	if !stream.IsUpgrade(c.Request()) {
		return httpapi.NewProblem(http.StatusUpgradeRequired, "websocket_needed", "this is for WebSockets")
	}
	secret, _ := strings.CutPrefix(c.Request().Header.Get(echo.HeaderAuthorization), "Bearer ")
	m := p.take(c.Param("id"), peer, secret)
	if m == nil {
		return httpapi.NewProblem(http.StatusNotFound, "no_such_stream", "nobody waits for this stream, or not for you: it may have taken more than %s to come", wire.StreamConnectTimeout)
	}
	conn, err := stream.Accept(c.Response(), c.Request())
	if err != nil {
		return nil // it has been answered
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.left {
		conn.Abort(errLeft)
	} else {
		m.came <- conn
	}
	return nil
}
