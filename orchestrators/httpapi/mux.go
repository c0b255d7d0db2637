// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/orchestrators/admission"
)

const (
	// firstByteTimeout is how long a connection may stay silent before it is closed.
	firstByteTimeout = 10 * time.Second
	// maxUndecided bounds the connections whose first byte is awaited; one more closes the oldest of them.
	maxUndecided = 1024
	// recordHandshake is the first byte of every TLS connection (RFC 8446, section 5.1); no HTTP or MQTT client starts with it.
	recordHandshake = 0x16
)

// MuxListener returns a listener on ln's port for both TLS and plain: the first byte of a connection decides. Accept returns
// a *tls.Conn, or a plain connection; one of those from another machine is closed unless allowPlain is set. Closing it
// closes ln.
func MuxListener(ln net.Listener, cfg *tls.Config, allowPlain bool) net.Listener {
	m := &muxListener{
		Listener: ln, cfg: cfg, allowPlain: allowPlain,
		ready: make(chan net.Conn), undecided: admission.NewQueue(maxUndecided), done: make(chan struct{}),
	}
	go m.run()
	return m
}

type muxListener struct {
	net.Listener
	cfg        *tls.Config
	allowPlain bool

	ready     chan net.Conn
	undecided *admission.Queue
	done      chan struct{}
	once      sync.Once
	err       error // set before done is closed
}

func (m *muxListener) run() {
	for {
		conn, err := m.Listener.Accept()
		if err != nil {
			if ne, ok := err.(interface{ Temporary() bool }); ok && ne.Temporary() {
				time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
				continue
			}
			m.stop(err)
			return
		}
		leave := m.undecided.Enter(conn)
		go m.decide(conn, leave)
	}
}

func (m *muxListener) decide(conn net.Conn, leave func() bool) {
	var first [1]byte
	_ = conn.SetReadDeadline(time.Now().Add(firstByteTimeout))
	n, _ := conn.Read(first[:])
	if still := leave(); n == 0 || !still {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var out net.Conn = &peekedConn{Conn: conn, first: first[:]}
	switch {
	case first[0] == recordHandshake && m.cfg != nil:
		out = tls.Server(out, m.cfg)
	case !m.allowPlain && !isLoopback(conn.RemoteAddr()):
		_ = conn.Close()
		return
	}
	select {
	case m.ready <- out:
	case <-m.done:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (m *muxListener) Accept() (net.Conn, error) {
	select {
	case conn := <-m.ready:
		return conn, nil
	case <-m.done:
		return nil, m.err
	}
}

// Close implements net.Listener.
func (m *muxListener) Close() error {
	err := m.Listener.Close()
	m.stop(net.ErrClosed)
	return err
}

func (m *muxListener) stop(err error) {
	m.once.Do(func() {
		m.err = err
		close(m.done)
	})
}

// peekedConn gives back the byte that was read to tell TLS from plain.
type peekedConn struct {
	net.Conn
	first []byte
}

func (c *peekedConn) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
