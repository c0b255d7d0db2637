// SPDX-License-Identifier: Apache-2.0

package observer

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// controlLen is room for what the kernel says beside a datagram.
const controlLen = 128

// askDestination has the kernel say which of the host's addresses each datagram was sent to. An answer has to come from the same one,
// which a host with several would not do of its own accord, and which a NAT before the worker would keep out otherwise.
func askDestination(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("use the socket of hellos: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		// A socket of both families says so of IPv4 in the form of IPv6.
		set = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
		if set != nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("have the destination of hellos told: %w", err)
	}
	return nil
}

// fromDestination returns what to say beside an answer, so that it comes from where the question went.
func fromDestination(control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(m.Data)})
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:])})
		}
	}
	return nil
}
