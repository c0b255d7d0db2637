// SPDX-License-Identifier: Apache-2.0

package bare

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Both ways of attaching have the program judge what the device gets, and leave nothing of it once it is closed.
func TestEveryHookSeesPackets(t *testing.T) {
	for name, attach := range map[string]func(int, *ebpf.Program) (io.Closer, error){
		"as the kernel can": attachTo,
		"filter":            attachFilter,
	} {
		t.Run(name, func(t *testing.T) {
			// Never given back: with the goroutine ends the thread, and with that the namespace.
			runtime.LockOSThread()
			require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
			require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}))
			var index [2]int
			for i, name := range []string{"a", "b"} {
				l, err := netlink.LinkByName(name)
				require.NoError(t, err)
				require.NoError(t, netlink.LinkSetUp(l))
				index[i] = l.Attrs().Index
			}
			heard := listen(t, index[1])
			stranger := frame("192.0.2.2", "192.0.2.1")
			// The tunnel's, for a container that there is not: dropped.
			dropped := bytes.Clone(stranger)
			dropped[14+9] = unix.IPPROTO_UDP
			binary.BigEndian.PutUint16(dropped[14+20+2:], port)

			at, err := attach(index[1], load(t).BareUplink)
			require.NoError(t, err)
			send(t, index[0], dropped)
			send(t, index[0], stranger)
			require.Equal(t, stranger, heard())
			require.NoError(t, at.Close())
			send(t, index[0], dropped)
			require.Equal(t, dropped, heard())
		})
	}
}

func packetSocket(t *testing.T, protocol uint16, ifindex int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: ifindex}))
	return fd
}

// listen returns what receives the next IPv4 frame that a device's hook has left to the kernel.
func listen(t *testing.T, ifindex int) func() []byte {
	t.Helper()
	fd := packetSocket(t, bits.ReverseBytes16(unix.ETH_P_IP), ifindex)
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	return func() []byte {
		t.Helper()
		got := make([]byte, 1500)
		n, _, err := unix.Recvfrom(fd, got, 0)
		require.NoError(t, err)
		return got[:n]
	}
}

// send sends a frame out of a device.
func send(t *testing.T, ifindex int, f []byte) {
	t.Helper()
	fd := packetSocket(t, 0, ifindex)
	require.NoError(t, unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifindex}))
}
