// SPDX-License-Identifier: Apache-2.0

package netspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to a TCP port at the own addresses of the namespace of copy id, from inside of it: what listens there for others is
// reached, what listens on the loopback alone is not, and nothing has to lead from the host to the namespace.
func (f *Folder) Dial(ctx context.Context, id string, port uint16) (net.Conn, error) {
	ns, err := os.Open(f.Path(id))
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer func() { _ = ns.Close() }()
	own, err := ownAddresses(ns)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return nil, errors.New("it has no address yet")
	}
	var refused error
	for _, a := range own {
		conn, err := dialFrom(ctx, ns, netip.AddrPortFrom(a, port))
		if err == nil {
			return conn, nil
		}
		if refused == nil {
			refused = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, refused
}

// within runs f in a namespace.
func within(ns *os.File, f func() error) error {
	return elsewhere(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// ownAddresses returns what others reach the namespace under, IPv4 first.
func ownAddresses(ns *os.File) (own []netip.Addr, err error) {
	var all []net.Addr
	if err := within(ns, func() (err error) { all, err = net.InterfaceAddrs(); return err }); err != nil {
		return nil, fmt.Errorf("list its addresses: %w", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			own = append(own, p.Addr())
		}
	}
	slices.SortStableFunc(own, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return own, nil
}

// dialFrom connects with a socket of the namespace. Only the socket is made there: no thread is kept while it connects, however long
// that takes.
func dialFrom(ctx context.Context, ns *os.File, to netip.AddrPort) (net.Conn, error) {
	family, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port()), Addr: as4(to.Addr())})
	if to.Addr().Is6() {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd := -1
	err := within(ns, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Before the runtime's poller knows the socket, so that its becoming writable is news to it.
	if err := unix.Connect(fd, addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to port %d: %w", to.Port(), err)
	}
	file := os.NewFile(uintptr(fd), "tcp "+to.String())
	defer func() { _ = file.Close() }() // the connection has a duplicate
	if err := connected(ctx, file); err != nil {
		return nil, fmt.Errorf("connect to port %d: %w", to.Port(), err)
	}
	return net.FileConn(file)
}

func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

// connected waits for the outcome of a connect that is under way.
func connected(ctx context.Context, file *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}} //nolint:gosec // a descriptor
		if n, err := unix.Poll(poll, 0); err == nil && n == 0 || errors.Is(err, unix.EINTR) {
			return false
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if outcome = err; err == nil && code != 0 {
			outcome = syscall.Errno(code)
		}
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, outcome)
}
