// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// How often and how long is waited where the queue of the programs' device is full.
const (
	resetRetries = 20
	resetPause   = time.Millisecond
)

// resetter sends resets to the programs on oak-up0, which pass each along its flow, as if the other end had sent it.
type resetter struct{ fd int }

// openResetter opens a socket that only sends, on oak-up1.
func openResetter(ifindex int) (*resetter, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for resets (needs CAP_NET_RAW): %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind the packet socket for resets to interface %d: %w", ifindex, err)
	}
	return &resetter{fd}, nil
}

func (r *resetter) close() {
	if r != nil {
		_ = unix.Close(r.fd)
	}
}

func (r *resetter) send(frame []byte) error {
	var err error
	for range resetRetries {
		if _, err = unix.Write(r.fd, frame); err == nil || !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) {
			break
		}
		time.Sleep(resetPause)
	}
	if err != nil {
		return os.NewSyscallError("send a reset", err)
	}
	return nil
}

// resetFrame is the longest frame of a reset: Ethernet, IPv6, TCP.
const resetFrame = 14 + 40 + 20

// resetAlong appends the frame that has the programs reset the receiver of a direction of a flow, who waits for the number next.
func resetAlong(frame []byte, key bpf.FlowKey, next uint32) []byte {
	const rst, along = 4, 0xfe
	src, dst, kind := key.Src.B[:], key.Dst.B[:], uint16(unix.ETH_P_IPV6)
	if key.Src.Netip().Is4() {
		src, dst, kind = src[12:], dst[12:], unix.ETH_P_IP
	}
	var tcp [20]byte
	binary.NativeEndian.PutUint16(tcp[0:], key.Sport) // in network order already, as is next
	binary.NativeEndian.PutUint16(tcp[2:], key.Dport)
	binary.NativeEndian.PutUint32(tcp[4:], next)
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, rst
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo(src, dst, unix.IPPROTO_TCP, len(tcp)), tcp[:]))
	frame = append(frame, 2, 0x6f, along, byte(key.From>>16), byte(key.From>>8), byte(key.From), 2, 0x6f, 0x61, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, kind)
	return append(appendIP(frame, unix.IPPROTO_TCP, src, dst, len(tcp)), tcp[:]...)
}

// flow resets both ends of a flow. Room is for the frames.
func (r *resetter) flow(room []byte, key bpf.FlowKey, next uint32, reverse bpf.FlowKey, reverseNext uint32) error {
	if err := r.send(resetAlong(room[:0], key, next)); err != nil {
		return err
	}
	return r.send(resetAlong(room[:0], reverse, reverseNext))
}
