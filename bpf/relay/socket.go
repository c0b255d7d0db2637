// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// receiveBuffer is what the kernel may queue while this process does not run. Bytes of kernel memory.
const receiveBuffer = 16 << 20

// openEnd opens a raw packet socket on an interface: it reads what arrives there, for whomever, and what is written leaves there.
func openEnd(name string) (*os.File, error) {
	ifindex, err := interfaceIndex(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	if err := prepareEnd(fd, ifindex); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("prepare a packet socket on %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "packet socket on "+name), nil
}

// prepareEnd binds the socket last: one of protocol 0 receives nothing, so no frame is seen before the options hold.
func prepareEnd(fd, ifindex int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("set PACKET_IGNORE_OUTGOING: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return fmt.Errorf("set SO_RCVBUFFORCE: %w", err)
	}
	all := &unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, all); err != nil {
		return fmt.Errorf("make the interface promiscuous: %w", err)
	}
	const all16 = uint16(unix.ETH_P_ALL)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all16<<8 | all16>>8, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}
