// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnreachableQuotesThePacket(t *testing.T) {
	p := udp(client, service, string(make([]byte, 1000)))
	got := refusal(p, netip.MustParseAddr("10.18.0.1"), false)
	require.Len(t, got, largestICMP)
	require.Equal(t, []byte{10, 18, 0, 1, 10, 18, 0, 2}, got[12:20])
	require.Zero(t, checksum(0, got[:20]))
	require.Equal(t, []byte{icmpUnreachable, icmpHostUnreachable}, got[20:22])
	require.Zero(t, checksum(0, got[20:]))
	require.Equal(t, p[:largestICMP-28], got[28:])

	got = refusal(p, netip.Addr{}, true)
	require.Equal(t, []byte{icmpUnreachable, icmpPortUnreachable}, got[20:22])
	require.Equal(t, netip.MustParseAddr(service).AsSlice(), got[12:16], "without a router, from whom it was for")
}

func TestResets(t *testing.T) {
	for name, c := range map[string]struct {
		flags        byte
		payload      int
		seq, ack     uint32
		answer       byte
		noAnswerAtAl bool
	}{
		"syn":           {flags: tcpSYN, seq: 0, ack: 1001, answer: tcpRST | tcpACK},
		"syn with data": {flags: tcpSYN, payload: 10, seq: 0, ack: 1011, answer: tcpRST | tcpACK},
		"ack":           {flags: tcpACK, payload: 5, seq: 2000, answer: tcpRST},
		"rst":           {flags: tcpRST, noAnswerAtAl: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := refusal(tcp(client, service, c.flags, c.payload), netip.MustParseAddr("10.18.0.1"), true)
			if c.noAnswerAtAl {
				require.Nil(t, got)
				return
			}
			require.Len(t, got, 40)
			require.Equal(t, []byte{10, 30, 1, 1, 10, 18, 0, 2, 0, 80, 0x9c, 0x40}, got[12:24])
			require.Equal(t, c.seq, binary.BigEndian.Uint32(got[24:]))
			require.Equal(t, c.ack, binary.BigEndian.Uint32(got[28:]))
			require.Equal(t, c.answer, got[33])
			require.Zero(t, checksum(0, got[:20]))
			pseudo := uint32(protoTCP + 20)
			for i := 12; i < 20; i += 2 {
				pseudo += uint32(binary.BigEndian.Uint16(got[i:]))
			}
			require.Zero(t, checksum(pseudo, got[20:]))
		})
	}
}

func TestWhatIsNotAnswered(t *testing.T) {
	echo := udp(client, service, "12345678")
	echo[9], echo[20] = protoICMP, icmpEchoRequest
	require.EqualValues(t, icmpHostUnreachable, refusal(echo, netip.Addr{}, true)[21])
	soft := refusal(tcp(client, service, tcpSYN, 0), netip.Addr{}, false)
	require.EqualValues(t, protoICMP, soft[9], "a connection that may work in a moment is reset")
	reply, fragment, other := append([]byte(nil), echo...), append([]byte(nil), echo...), append([]byte(nil), echo...)
	reply[20] = icmpUnreachable
	fragment[7] = 1
	other[9] = 47
	for name, p := range map[string][]byte{
		"icmp error": reply, "fragment": fragment, "other protocol": other, "nothing": nil, "short": echo[:24], "v6": append([]byte{0x60}, make([]byte, 60)...),
	} {
		require.Nil(t, refusal(p, netip.Addr{}, true), name)
		require.Nil(t, refusal(p, netip.Addr{}, false), name)
	}
}

func TestOnlyFramesOfTheProgramsCount(t *testing.T) {
	good := frameOf(0, 0, udp(client, service, "x"))
	_, ok := parse(good, time.Now())
	require.True(t, ok)
	multicast := append([]byte(nil), good...)
	multicast[vnetLen], multicast[vnetLen+1] = 0x33, 0x33
	for name, raw := range map[string][]byte{
		"multicast": multicast, "empty": nil, "header only": good[:vnetLen+ethLen],
		"deliver": frameOf(deliver, 0, udp(client, service, "x")), "arp": frameOf(0, 0, []byte{0, 1, 8, 0}),
	} {
		_, ok := parse(raw, time.Now())
		require.False(t, ok, name)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(frameOf(0, 0, udp(client, service, "x")))
	f.Add(frameOf(7, 9, tcp(client, service, tcpSYN, 3)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		fr, ok := parse(raw, time.Time{})
		if !ok {
			return
		}
		if p := refusal(fr.packet(), netip.Addr{}, len(raw)%2 == 0); p != nil && checksum(0, p[:20]) != 0 {
			t.Fatal("a refusal with a wrong header")
		}
	})
}
