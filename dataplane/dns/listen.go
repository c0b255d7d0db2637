// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	// port is that of all resolvers.
	port = 53
	// maxUDP is the largest datagram that is taken and sent: what passes every network without being taken apart.
	maxUDP = 1232
	// backlog is how much may wait to be read, in bytes: what one container sends at once is not to crowd out the others.
	backlog = 4 << 20
	// firstRead and idle are how long a connection may say nothing, at first and between two queries.
	firstRead = 2 * time.Second
	idle      = 10 * time.Second
	// perConnection is how many queries a connection may carry.
	perConnection = 128
	// farewell bounds how long queries under way hold up the end.
	farewell = time.Second
)

// listeners are the servers at the addresses that containers send to.
type listeners struct {
	handler dns.Handler
	sources *sources

	mu     sync.Mutex
	closed bool
	open   map[listener]*dns.Server
}

// listener names one server.
type listener struct {
	address netip.AddrPort
	network string // "udp" or "tcp"
}

// set makes the servers those of the addresses. What serves already goes on; what cannot be opened is in the error, and tried again by the
// next call.
func (l *listeners) set(addresses []netip.AddrPort) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	want := map[listener]bool{}
	var errs []error
	for _, a := range addresses {
		for _, network := range []string{"udp", "tcp"} {
			at := listener{a, network}
			want[at] = true
			if l.open[at] != nil {
				continue
			}
			if err := l.start(at); err != nil {
				errs = append(errs, fmt.Errorf("answer names at %s (%s): %w", a, network, explain(err)))
			}
		}
	}
	for at, s := range l.open {
		if !want[at] {
			delete(l.open, at)
			end(s)
		}
	}
	return errors.Join(errs...)
}

func explain(err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%w: another resolver of this host has that port: have it listen on its own addresses only (bind-interfaces, listen-on)", err)
	}
	return err
}

func (l *listeners) start(at listener) error {
	s := &dns.Server{
		Handler: l.handler, UDPSize: maxUDP, ReadTimeout: firstRead, WriteTimeout: firstRead, IdleTimeout: func() time.Duration { return idle },
		MaxTCPQueries: perConnection, DecorateReader: func(r dns.Reader) dns.Reader { return reader{r, l.sources} },
	}
	// A resolver that another program of the host has on all addresses does not keep this one from its own.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			// Without the right to this the kernel's own measure will do.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, backlog)
		})
		return cmp.Or(cerr, err)
	}}
	var err error
	if at.network == "udp" {
		s.PacketConn, err = config.ListenPacket(context.Background(), at.network, at.address.String())
	} else {
		var tcp net.Listener
		if tcp, err = config.Listen(context.Background(), at.network, at.address.String()); err == nil {
			s.Listener = bounded{tcp, l.sources}
		}
	}
	if err != nil {
		return err
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	s.NotifyStartedFunc = func() { close(started) }
	go func() {
		ended <- s.ActivateAndServe() // by set or close, or because the socket broke: then set opens another
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open[at] == s {
			delete(l.open, at)
		}
	}()
	select {
	case <-started:
		l.open[at] = s
		return nil
	case err := <-ended:
		return err
	}
}

func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var all sync.WaitGroup
	for _, s := range l.open {
		all.Go(func() { end(s) })
	}
	clear(l.open)
	all.Wait()
}

func end(s *dns.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = s.ShutdownContext(ctx)
}

// reader drops, before anything of it is looked at, what does not come from a container, and what comes too often.
type reader struct {
	dns.Reader
	sources *sources
}

func (r reader) ReadUDP(c *net.UDPConn, timeout time.Duration) ([]byte, *dns.SessionUDP, error) {
	for {
		m, session, err := r.Reader.ReadUDP(c, timeout)
		if err != nil || r.sources.admit(addressOf(session.RemoteAddr()), time.Now()) {
			return m, session, err
		}
	}
}

// bounded is a listener that has connections of containers alone, and so many of each.
type bounded struct {
	net.Listener
	sources *sources
}

func (b bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if end, ok := b.sources.connect(addressOf(c.RemoteAddr()), time.Now()); ok {
			return &counted{Conn: c, end: sync.OnceFunc(end)}, nil
		}
		_ = c.Close()
	}
}

// counted tells when a connection is closed.
type counted struct {
	net.Conn
	end func()
}

func (c *counted) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// addressOf returns the address of the other side; the zero one if it has none.
func addressOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
