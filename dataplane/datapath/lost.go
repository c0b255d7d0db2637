// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// sendLost sends a peer the reset of a connection that this worker does not know, where the kernel let the programs make no reset of the
// packet that came. A reset that cannot be sent is not missed for long: the peer tries again.
func (d *Datapath) sendLost(l bpf.LostReset) error {
	if d.resets == nil {
		return nil
	}
	if err := d.resets.send(lostFrame(l)); err != nil {
		return fmt.Errorf("reset a peer's connection: %w", err)
	}
	return nil
}

// lostFrame is the frame that has the programs send a reset to a peer.
func lostFrame(l bpf.LostReset) []byte {
	const send = 0xfd // OAK_PEER_SEND
	src, dst, kind := l.Src.B[:], l.Dst.B[:], uint16(unix.ETH_P_IPV6)
	if l.Src.Netip().Is4() {
		src, dst, kind = src[12:], dst[12:], unix.ETH_P_IP
	}
	var tcp [20]byte
	binary.NativeEndian.PutUint16(tcp[0:], l.Sport) // in network order already, as are the numbers
	binary.NativeEndian.PutUint16(tcp[2:], l.Dport)
	binary.NativeEndian.PutUint32(tcp[4:], l.Seq)
	binary.NativeEndian.PutUint32(tcp[8:], l.Ack)
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, uint8(l.Flags)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo(src, dst, unix.IPPROTO_TCP, len(tcp)), tcp[:]))
	frame := []byte{2, 0x6f, send, byte(l.Peer >> 16), byte(l.Peer >> 8), byte(l.Peer),
		2, 0x6f, 0x61, byte(l.Tag >> 16), byte(l.Tag >> 8), byte(l.Tag)}
	frame = appendIP(binary.BigEndian.AppendUint16(frame, kind), unix.IPPROTO_TCP, src, dst, len(tcp))
	return append(frame, tcp[:]...)
}
