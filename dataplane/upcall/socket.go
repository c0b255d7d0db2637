// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The length of struct virtio_net_hdr, which comes before each frame in both directions.
const vnetLen = 10

// receiveBuffer is what the kernel may queue for us: the largest packets of some services at once. Bytes of kernel memory.
const receiveBuffer = 32 << 20

// openSocket opens a raw packet socket on an interface. It sees what arrives there before the sink on its ingress does, not what we send.
func openSocket(ifindex int) (*os.File, error) {
	all := htons(unix.ETH_P_ALL) // handlers of a single protocol come after the sink
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	for _, o := range []struct {
		name          string
		level, option int
		value         int
	}{
		{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"SO_RCVBUFFORCE", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("set %s on a packet socket: %w", o.name, err)
		}
	}
	// Bound last: a socket of protocol 0 receives nothing, so no frame is seen before the options hold.
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket to interface %d: %w", ifindex, err)
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
