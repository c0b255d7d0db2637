// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// routers are the gateway addresses that errors come from.
var routers = [2]netip.Addr{netip.MustParseAddr("10.18.0.1"), netip.MustParseAddr("fc00::1")}

// sides is who talks to whom in a family, and the length of its header.
type sides struct {
	client, service string
	router          netip.Addr
	head            int
}

func eachFamily(t *testing.T, f func(*testing.T, sides, icmpKind)) {
	for name, s := range map[string]sides{
		"IPv4": {client, service, routers[0], 20}, "IPv6": {client6, service6, routers[1], 40},
	} {
		t.Run(name, func(t *testing.T) { f(t, s, icmpOf(s.router)) })
	}
}

// requirePacket checks addresses, lengths and checksums, and returns protocol and body.
func requirePacket(t *testing.T, p []byte, from, to string) (proto byte, body []byte) {
	t.Helper()
	in, ok := takeApart(p)
	require.True(t, ok)
	require.Len(t, in.raw, len(p))
	require.Equal(t, from, in.src.String())
	require.Equal(t, to, in.dst.String())
	sum := pseudo(in.src, in.dst, in.proto, len(in.body))
	if in.src.Is4() {
		require.Zero(t, checksum(0, p[:20]))
		if in.proto == protoICMP {
			sum = 0
		}
	}
	require.Zero(t, checksum(sum, in.body))
	return in.proto, in.body
}

func TestUnreachableQuotesThePacket(t *testing.T) {
	eachFamily(t, func(t *testing.T, s sides, icmp icmpKind) {
		p := udp(s.client, s.service, string(make([]byte, 2000)))
		got := refusal(p, routers, false)
		require.Len(t, got, icmp.largest)
		proto, body := requirePacket(t, got, s.router.String(), s.client)
		require.Equal(t, icmp.proto, proto)
		require.Equal(t, []byte{icmp.unreachable, icmp.host}, body[:2])
		require.Equal(t, p[:icmp.largest-s.head-8], body[8:])

		got = refusal(p, [2]netip.Addr{}, true)
		_, body = requirePacket(t, got, s.service, s.client) // without a router, from whom it was for
		require.Equal(t, []byte{icmp.unreachable, icmp.port}, body[:2])
	})
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
		eachFamily(t, func(t *testing.T, s sides, _ icmpKind) {
			t.Run(name, func(t *testing.T) {
				got := refusal(tcp(s.client, s.service, c.flags, c.payload), routers, true)
				if c.noAnswerAtAl {
					require.Nil(t, got)
					return
				}
				proto, body := requirePacket(t, got, s.service, s.client)
				require.EqualValues(t, protoTCP, proto)
				require.Equal(t, []byte{0, 80, 0x9c, 0x40}, body[:4])
				require.Equal(t, c.seq, binary.BigEndian.Uint32(body[4:]))
				require.Equal(t, c.ack, binary.BigEndian.Uint32(body[8:]))
				require.Equal(t, c.answer, body[13])
			})
		})
	}
}

func TestWhatIsNotAnswered(t *testing.T) {
	eachFamily(t, func(t *testing.T, s sides, icmp icmpKind) {
		at := 9 // of the protocol
		if s.head == 40 {
			at = 6
		}
		echo := udp(s.client, s.service, "12345678")
		echo[at], echo[s.head] = icmp.proto, icmp.echoRequest
		_, body := requirePacket(t, refusal(echo, routers, true), s.router.String(), s.client)
		require.Equal(t, icmp.host, body[1])
		soft, _ := requirePacket(t, refusal(tcp(s.client, s.service, tcpSYN, 0), routers, false), s.router.String(), s.client)
		require.Equal(t, icmp.proto, soft, "a connection that may work in a moment is reset")
		reply, fragment, other := append([]byte(nil), echo...), append([]byte(nil), echo...), append([]byte(nil), echo...)
		reply[s.head] = icmp.unreachable
		fragment[7] = 1
		if s.head == 40 {
			fragment[at] = 44
		}
		other[at] = 47
		for name, p := range map[string][]byte{
			"icmp error": reply, "fragment": fragment, "other protocol": other, "nothing": nil, "short": echo[:s.head+4], "no version": make([]byte, 60),
		} {
			require.Nil(t, refusal(p, routers, true), name)
			require.Nil(t, refusal(p, routers, false), name)
		}
	})
}

func TestRefusalsGoToTheirContainer(t *testing.T) {
	eachFamily(t, func(t *testing.T, s sides, _ icmpKind) {
		p := refusal(udp(s.client, s.service, "x"), routers, true)
		require.Equal(t, frameOf(deliver, 0, p), toEndpoint(p))
	})
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
	f.Add(frameOf(0, 0, udp(client6, service6, "x")))
	f.Add(frameOf(7, 9, tcp(client6, service6, tcpSYN, 3)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		fr, ok := parse(raw, time.Time{})
		if !ok {
			return
		}
		if p := refusal(fr.packet(), [2]netip.Addr{}, len(raw)%2 == 0); p != nil {
			in, ok := takeApart(p)
			if !ok || len(in.raw) != len(p) || p[0]>>4 == 4 && checksum(0, p[:20]) != 0 {
				t.Fatal("a refusal with a wrong header")
			}
		}
	})
}
