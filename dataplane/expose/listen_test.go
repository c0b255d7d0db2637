// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestParseSockets(t *testing.T) {
	tcp := heading +
		"   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n" +
		"   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2\n" +
		"   2: 0A02000A:B84C 01020304:01BB 01 00000000:00000000 00:00000000 00000000     0        0 3\n" +
		"   3: what comes after the first that does not listen is not read\n"
	got, err := parseSockets(strings.NewReader(tcp), stateListen, true)
	require.NoError(t, err)
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5432"), netip.MustParseAddrPort("0.0.0.0:22")}, got)

	udp6 := heading +
		"  10: 00000000000000000000000000000000:0202 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1\n" +
		"  11: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:0035 01 0:0 0:0 0 0 0 2\n" +
		"  12: 0000000000000000FFFF00000100007F:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 3\n"
	got, err = parseSockets(strings.NewReader(udp6), stateUnconnected, false)
	require.NoError(t, err)
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("[::]:514"), netip.MustParseAddrPort("127.0.0.1:53")}, got)

	for _, bad := range []string{"0: 1\n", "0: zz:1 0:0 07\n", "0: 0100007F:zz 0:0 07\n", "0: 01:01 0:0 07\n"} {
		_, err := parseSockets(strings.NewReader(heading+bad), stateUnconnected, false)
		require.Error(t, err, bad)
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add(heading+"0: 0100007F:1538 00000000:0000 0A\n", true)
	f.Add(heading+"0: 0000000000000000FFFF00000100007F:0035 0:0 07\n", false)
	f.Fuzz(func(t *testing.T, text string, first bool) {
		list, err := parseSockets(strings.NewReader(text), stateListen, first)
		for _, a := range list {
			if err == nil && !a.Addr().IsValid() {
				t.Errorf("an address without a value out of %q", text)
			}
		}
	})
}

// TestSocketsOfTheHost opens real ones. IPv4's loopback stands for an own address, IPv6's for one that is not.
func TestSocketsOfTheHost(t *testing.T) {
	netnstest.Enter(t)
	loopback(t)
	listen := func(network, addr string) {
		l, err := net.Listen(network, addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
	}
	listen("tcp4", "127.0.0.1:80")
	listen("tcp4", "0.0.0.0:81")
	listen("tcp6", "[::]:82")
	listen("tcp6", "[::1]:83")
	for _, p := range []string{"udp4 127.0.0.1:90", "udp6 [::]:91", "udp6 [::1]:92", "udp4 0.0.0.0:40000"} {
		network, addr, _ := strings.Cut(p, " ")
		pc, err := net.ListenPacket(network, addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = pc.Close() })
	}
	conn, err := net.Dial("tcp4", "127.0.0.1:80") // whose own port no listener has
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	udp, err := net.Dial("udp4", "127.0.0.1:90")
	require.NoError(t, err)
	defer func() { _ = udp.Close() }()

	tb := newTable(t)
	used, err := tb.Used()
	require.NoError(t, err)
	require.Equal(t, wire.HostPorts{TCP: []uint16{80, 81, 82}, UDP: []uint16{90, 91, 50103}}, used)
	all, err := tb.listening()
	require.NoError(t, err)
	require.Equal(t, []uint16{90, 91, 40000}, all.UDP)
}
