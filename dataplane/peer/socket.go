// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sender puts whole IPv4 packets on the wire.
type sender interface {
	send(packet []byte, to netip.Addr) error
	close() error
}

// rawSocket is needed because the kernel's tunnel device owns the UDP port.
type rawSocket struct{ fd int }

func openRawSocket() (*rawSocket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a raw socket for hello packets (needs CAP_NET_RAW): %w", err)
	}
	return &rawSocket{fd}, nil
}

func (s *rawSocket) send(packet []byte, to netip.Addr) error {
	if err := unix.Sendto(s.fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return fmt.Errorf("send hello to %s: %w", to, err)
	}
	return nil
}

func (s *rawSocket) close() error {
	fd := s.fd
	s.fd = -1 // the number may soon be another file's
	return unix.Close(fd)
}
