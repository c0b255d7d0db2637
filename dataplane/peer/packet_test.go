// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/hello"
)

func TestPacketIsWhatTheProgramsExpect(t *testing.T) {
	from, to := netip.MustParseAddrPort("192.0.2.1:50103"), netip.MustParseAddrPort("192.0.2.2:50104")
	body := []byte("twelve bytes")
	b := packet(from, to, hello.Tunneled(body))

	require.Equal(t, byte(0x45), b[0])
	require.Equal(t, len(b), int(binary.BigEndian.Uint16(b[2:])))
	require.Equal(t, byte(0x40), b[6], "do not fragment")
	require.Equal(t, byte(17), b[9])
	require.Equal(t, []byte{192, 0, 2, 1, 192, 0, 2, 2}, b[12:20])
	udp := b[20:]
	require.Equal(t, uint16(50103), binary.BigEndian.Uint16(udp))
	require.Equal(t, uint16(50104), binary.BigEndian.Uint16(udp[2:]))
	require.Equal(t, len(udp), int(binary.BigEndian.Uint16(udp[4:])))
	require.Equal(t, []byte{0x0c, 0, 0, 0xfe, 0, 0, 0, 0}, udp[8:16])
	require.Equal(t, body, udp[16:])
	require.Equal(t, uint16(0xffff), udpChecksum(from.Addr(), to.Addr(), udp), "a right checksum sums up to nothing")
}

func TestPacketOverIPv6(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8::1]:50103"), netip.MustParseAddrPort("[2001:db8::2]:50104")
	body := []byte("thirteen byte")
	b := packet(from, to, body)
	require.Equal(t, []byte{0x6c, 0, 0, 0}, b[:4])
	require.Equal(t, len(b)-40, int(binary.BigEndian.Uint16(b[4:])))
	require.Equal(t, byte(17), b[6])
	require.Equal(t, from.Addr(), netip.AddrFrom16([16]byte(b[8:])))
	require.Equal(t, to.Addr(), netip.AddrFrom16([16]byte(b[24:])))
	udp := b[40:]
	require.Equal(t, uint16(50103), binary.BigEndian.Uint16(udp))
	require.Equal(t, uint16(50104), binary.BigEndian.Uint16(udp[2:]))
	require.Equal(t, len(udp), int(binary.BigEndian.Uint16(udp[4:])))
	require.Equal(t, body, udp[8:])
	require.Equal(t, uint16(0xffff), udpChecksum(from.Addr(), to.Addr(), udp), "a right checksum sums up to nothing")
}
