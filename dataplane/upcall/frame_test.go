// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
		if ok && (fr.peer == deliver || len(fr.raw) <= vnetLen+ethLen) {
			t.Fatalf("taken for a packet of the programs: % x", raw)
		}
	})
}
