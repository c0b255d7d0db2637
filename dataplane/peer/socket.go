// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sender puts whole IP packets on the wire.
type sender interface {
	send(packet []byte, to netip.Addr) error
	close() error
}

// rawSockets are needed because the kernel's tunnel device owns the UDP port. On a kernel without IPv6 the second one is missing.
type rawSockets struct{ v4, v6 int }

const noSocket = -1

func openRawSockets() (*rawSockets, error) {
	v4, err := openRawSocket(unix.AF_INET)
	if err != nil {
		return nil, err
	}
	v6, err := openRawSocket(unix.AF_INET6)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		_ = unix.Close(v4)
		return nil, err
	}
	return &rawSockets{v4, v6}, nil
}

func openRawSocket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return noSocket, fmt.Errorf("open a raw socket for hello packets (needs CAP_NET_RAW): %w", err)
	}
	return fd, nil
}

func (s *rawSockets) send(packet []byte, to netip.Addr) error {
	fd, at := s.v6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.As16()})
	if to.Is4() {
		fd, at = s.v4, &unix.SockaddrInet4{Addr: to.As4()}
	}
	if err := unix.Sendto(fd, packet, 0, at); err != nil {
		return fmt.Errorf("send hello to %s: %w", to, err)
	}
	return nil
}

func (s *rawSockets) close() error {
	var errs []error
	for _, fd := range []*int{&s.v4, &s.v6} {
		if *fd != noSocket {
			errs = append(errs, unix.Close(*fd))
			*fd = noSocket // the number may soon be another file's
		}
	}
	return errors.Join(errs...)
}
