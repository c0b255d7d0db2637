// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// receiveBuffer of a datagram socket, in bytes: for what a sender gets away while it has the processor.
const receiveBuffer = 32 << 20

// Serve serves until the process is killed. It writes a line once it listens.
func Serve(s Server, ready io.Writer) error {
	settle()
	if s.Kind.index() < 0 || s.Streams < 1 || s.Streams > maxStreams {
		return fmt.Errorf("serve: kind %q with %d streams is not to be had", s.Kind, s.Streams)
	}
	shared, err := openCounters(s.Counters)
	if err != nil {
		return err
	}
	var sockets []int
	for _, path := range s.Namespaces {
		fd, err := listenIn(path, s)
		if err != nil {
			return fmt.Errorf("listen in namespace %q: %w", path, err)
		}
		sockets = append(sockets, fd)
	}
	each := 1
	if s.Kind == Bulk {
		each = s.Streams
	}
	begin(each*len(sockets), func(i int) { serveLoop(s.Kind, sockets[i/each], shared.take()) })
	if _, err := fmt.Fprintln(ready, "ready"); err != nil {
		return fmt.Errorf("say that the server is ready: %w", err)
	}
	select {}
}

// listenIn listens in the network namespace. A socket stays in the namespace that it was made in.
func listenIn(path string, s Server) (fd int, err error) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if path != "" {
			ns, err := netns.GetFromPath(path)
			if err != nil {
				done <- err
				return
			}
			defer func() { _ = ns.Close() }()
			if err := netns.Set(ns); err != nil {
				done <- err
				return
			}
		}
		var err error
		fd, err = listen(s)
		done <- err
	}()
	err = <-done
	return fd, err
}

func listen(s Server) (int, error) {
	unspecified := netip.IPv4Unspecified()
	if s.IPv6 {
		unspecified = netip.IPv6Unspecified()
	}
	var sa unix.Sockaddr
	if s.IPv6 {
		sa = &unix.SockaddrInet6{Port: int(s.Kind.Port())}
	} else {
		sa = &unix.SockaddrInet4{Port: int(s.Kind.Port())}
	}
	a := addressOf(netip.AddrPortFrom(unspecified, 0))
	kind := unix.SOCK_STREAM
	if s.Kind == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, e := socket(&a, kind)
	if e != 0 {
		return 0, fmt.Errorf("make a socket: %w", e)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, fmt.Errorf("let the port be used again: %w", err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return 0, fmt.Errorf("bind port %d: %w", s.Kind.Port(), err)
	}
	if s.Kind == UDP {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
			return 0, fmt.Errorf("enlarge the receive buffer: %w", err)
		}
		return fd, nil
	}
	// Accepted connections inherit it.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, fmt.Errorf("have requests sent at once: %w", err)
	}
	if err := unix.Listen(fd, 1024); err != nil {
		return 0, fmt.Errorf("listen on port %d: %w", s.Kind.Port(), err)
	}
	return fd, nil
}

// serveLoop goes on for ever. Errors end one connection only: the client sees them.
func serveLoop(kind Kind, fd int, count *uint64) {
	if kind == UDP {
		serveUDP(fd, count)
		return
	}
	buffer := make([]byte, bulkBuffer)
	for {
		conn, e := accept(fd)
		if e != 0 {
			continue
		}
		switch kind {
		case Bulk:
			sink(conn, buffer, count)
		case Request, Connect:
			answer(conn, buffer[:message], count)
		}
		closeFD(conn)
	}
}

func sink(conn int, buffer []byte, count *uint64) {
	for {
		n, e := read(conn, buffer)
		if e != 0 || n == 0 {
			return
		}
		atomic.AddUint64(count, uint64(n))
	}
}

// answer answers every message until the client closes.
func answer(conn int, buffer []byte, count *uint64) {
	for {
		if n, e := readFull(conn, buffer); e != 0 || n < len(buffer) {
			return
		}
		if n, e := write(conn, buffer); e != 0 || n < len(buffer) {
			return
		}
		atomic.AddUint64(count, 1)
	}
}

// wantsAnswer opens a datagram that is to be sent back: a client's first, which makes the flow one that both sides take part in.
const wantsAnswer = 1

func serveUDP(fd int, count *uint64) {
	buffer := make([]byte, 2*message)
	var from address
	for {
		n, e := receiveFrom(fd, buffer, &from)
		if e != 0 {
			continue
		}
		if n > 0 && buffer[0] == wantsAnswer {
			sendTo(fd, buffer[:n], &from)
			continue
		}
		atomic.AddUint64(count, 1)
	}
}
