// SPDX-License-Identifier: Apache-2.0

package bare

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Verdicts of tc programs: what redirects shows as 7 (TC_ACT_REDIRECT), what is left to the stack as -1.
const (
	redirected = 7
	left       = 0xffffffff
)

func load(t *testing.T) *bareObjects {
	t.Helper()
	spec, err := loadBare()
	require.NoError(t, err)
	a := netip.MustParseAddr
	require.NoError(t, Worker{Uplink: 1, Own: a("192.0.2.1"), Other: a("192.0.2.2"), Subnet: netip.MustParsePrefix("10.244.1.0/24"),
		Here: map[netip.Addr]int{a("10.244.1.2"): 1, a("10.244.1.3"): 1}}.tell(spec))
	var programs bareObjects
	require.NoError(t, spec.LoadAndAssign(&programs, nil))
	t.Cleanup(func() { require.NoError(t, programs.Close()) })
	return &programs
}

// frame is an Ethernet frame with an IPv4 packet of no particular transport.
func frame(from, to string) []byte {
	f := make([]byte, 14+20+44)
	f[12] = 0x08
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 253
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	src, dst := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	return f
}

func sum(words []byte) (s uint32) {
	for i := 0; i < len(words); i += 2 {
		s += uint32(binary.BigEndian.Uint16(words[i:]))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return s
}

func TestWhatLeavesIsWrapped(t *testing.T) {
	p := load(t)
	in := frame("10.244.1.2", "10.244.2.3")
	verdict, out, err := p.BareContainer.Test(in)
	require.NoError(t, err)
	require.EqualValues(t, redirected, verdict)
	require.Len(t, out, len(in)+Overhead)
	outer := out[14 : 14+Overhead]
	require.EqualValues(t, 0xffff, sum(outer[:20]), "the header's sum with its checksum (RFC 1071)")
	require.EqualValues(t, len(in)-14+Overhead, binary.BigEndian.Uint16(outer[2:]))
	require.EqualValues(t, len(in)-14+Overhead-20, binary.BigEndian.Uint16(outer[24:]))
	require.Equal(t, []byte{192, 0, 2, 1, 192, 0, 2, 2}, outer[12:20])
	require.Equal(t, in[14:], out[14+Overhead:])
}

func TestWhatArrivesIsBareAgain(t *testing.T) {
	p := load(t)
	_, wrapped, err := p.BareContainer.Test(frame("10.244.1.2", "10.244.2.3"))
	require.NoError(t, err)
	// The other way: what B wraps for A differs in its addresses alone.
	back := frame("10.244.2.3", "10.244.1.2")
	copy(wrapped[14+Overhead:], back[14:])
	verdict, out, err := p.BareUplink.Test(wrapped)
	require.NoError(t, err)
	require.EqualValues(t, redirected, verdict)
	require.Equal(t, back[14:], out[14:])
}

func TestTheRest(t *testing.T) {
	p := load(t)
	verdict, out, err := p.BareContainer.Test(frame("10.244.1.2", "10.244.1.3"))
	require.NoError(t, err)
	require.EqualValues(t, redirected, verdict, "to a container of the same worker")
	require.Len(t, out, 14+20+44)
	arp := frame("10.244.1.2", "10.244.1.3")
	arp[13] = 6
	verdict, _, err = p.BareContainer.Test(arp)
	require.NoError(t, err)
	require.EqualValues(t, left, verdict)
	verdict, _, err = p.BareUplink.Test(frame("192.0.2.2", "192.0.2.1"))
	require.NoError(t, err)
	require.EqualValues(t, left, verdict)
}
