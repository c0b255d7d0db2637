// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func TestPortRangeIsTheLongestRunWithoutTakenPorts(t *testing.T) {
	for name, tc := range map[string]struct {
		tunnel  uint16
		exposed []uint16
		lo, hi  uint16
	}{
		"tunnel alone":     {50103, nil, 1024, 50102},
		"low ports":        {50103, []uint16{80, 443, 1024}, 1025, 50102},
		"in the middle":    {50103, []uint16{30000}, 1024, 29999},
		"both ends":        {1024, []uint16{65535}, 1025, 65534},
		"above the tunnel": {3000, []uint16{40000, 40001}, 3001, 39999},
		"no tunnel":        {0, nil, 1024, 65535},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{TunnelPort: tc.tunnel}
			for _, p := range tc.exposed {
				c.Exposed = append(c.Exposed, Redirect{Port: p})
			}
			require.Equal(t, portRange{tc.lo, tc.hi}, c.portRange())
		})
	}
}

func TestManyPortsAreOneTransaction(t *testing.T) {
	netnstest.Enter(t)
	c := config()
	c.Own = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for p := range uint16(4000) {
		c.Exposed = append(c.Exposed, Redirect{Protocol: unix.IPPROTO_TCP, Port: 2000 + p, To: netip.MustParseAddrPort("10.18.0.2:80")})
	}
	require.NoError(t, Ensure(c))
	require.Len(t, handlesOf(t, exposedChain), 4000)
	require.Len(t, handlesOf(t, outputChain), 1)
}

// families are the addresses of the test's network: inside is a container's, own the host's.
var families = []struct{ name, gateway, inside, own, outside string }{
	{"4", "10.18.0.1", "10.18.0.2", "192.0.2.1", "192.0.2.2"},
	{"6", "fc00::1", "fc00::2", "2001:db8::1", "2001:db8::2"},
}

func bothFamilies() Config {
	c := config()
	c.Overlay = append(c.Overlay, netip.MustParsePrefix("fc00::/16"), netip.MustParsePrefix("fdff::/16"))
	return c
}

// dualStack adds IPv6 to the network that namespaceWith has made.
func dualStack(t *testing.T, name, hostAddr, addr string, router bool, ns func(func())) {
	t.Helper()
	set := func(name, addr string) {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		a, err := netlink.ParseAddr(addr)
		require.NoError(t, err)
		a.Flags = unix.IFA_F_NODAD
		require.NoError(t, netlink.AddrAdd(l, a))
	}
	set(name, hostAddr)
	ns(func() {
		set("eth0", addr)
		if router {
			ip, _, err := net.ParseCIDR(hostAddr)
			require.NoError(t, err)
			require.NoError(t, netlink.RouteAdd(&netlink.Route{Gw: ip, Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}))
		}
	})
}

func TestMasqueradedFlowsKeepOffTakenPorts(t *testing.T) {
	netnstest.Enter(t)
	insideNS := namespaceWith(t, "c0", "10.18.0.1/26", "10.18.0.2/26", true)
	outsideNS := namespaceWith(t, "u0", "192.0.2.1/24", "192.0.2.2/24", false)
	inside := func(f func()) { within(t, insideNS, f) }
	outside := func(f func()) { within(t, outsideNS, f) }
	dualStack(t, "c0", "fc00::1/120", "fc00::2/120", true, inside)
	dualStack(t, "u0", "2001:db8::1/64", "2001:db8::2/64", false, outside)
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
	c := bothFamilies()
	c.Exposed = []Redirect{{Protocol: unix.IPPROTO_TCP, Port: 40000, To: netip.MustParseAddrPort("10.18.0.2:80")}}
	require.NoError(t, Ensure(c))

	for _, f := range families {
		for _, port := range []int{40000, 50103, 20000} {
			for _, network := range []string{"tcp", "udp"} {
				t.Run(fmt.Sprintf("%s%s from %d", network, f.name, port), func(t *testing.T) {
					got := seenFrom(t, network+f.name, inside, outside, f.inside, f.outside, port)
					require.Equal(t, f.own, got.Addr().String(), "the outside sees the host")
					if port == 20000 {
						require.Equal(t, uint16(port), got.Port(), "a port that nobody needs is kept")
					} else {
						require.Less(t, got.Port(), uint16(40000), "no taken port is given to a masqueraded flow")
					}
				})
			}
		}
	}
}

// seenFrom sends from one namespace and port to another namespace, and returns from where that was seen to come.
func seenFrom(t *testing.T, network string, from, at func(func()), source, target string, port int) netip.AddrPort {
	t.Helper()
	seen := make(chan netip.AddrPort, 1)
	var closeServer func() error
	addr := netip.AddrPortFrom(netip.MustParseAddr(target), 7).String()
	at(func() {
		if strings.HasPrefix(network, "tcp") {
			l, err := net.Listen(network, addr)
			require.NoError(t, err)
			closeServer = l.Close
			go func() {
				if conn, err := l.Accept(); err == nil {
					seen <- conn.RemoteAddr().(*net.TCPAddr).AddrPort()
					_ = conn.Close()
				}
			}()
			return
		}
		pc, err := net.ListenPacket(network, addr)
		require.NoError(t, err)
		closeServer = pc.Close
		go func() {
			if _, a, err := pc.ReadFrom(make([]byte, 8)); err == nil {
				seen <- a.(*net.UDPAddr).AddrPort()
			}
		}()
	})
	defer func() { _ = closeServer() }()
	from(func() {
		local := net.Addr(&net.UDPAddr{IP: net.ParseIP(source), Port: port})
		if strings.HasPrefix(network, "tcp") {
			local = &net.TCPAddr{IP: net.ParseIP(source), Port: port}
		}
		conn, err := (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: local}).Dial(network, addr)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = conn.Write([]byte("x"))
		require.NoError(t, err)
	})
	select {
	case a := <-seen:
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	case <-time.After(5 * time.Second):
		t.Fatal("nothing arrived")
		return netip.AddrPort{}
	}
}

// echo answers each datagram and each connection with what it gets, once, preceded by whom it saw.
func echo(t *testing.T, network, addr string) {
	t.Helper()
	if strings.HasPrefix(network, "tcp") {
		l, err := net.Listen(network, addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				b := make([]byte, 64)
				n, _ := conn.Read(b)
				_, _ = fmt.Fprintf(conn, "%s %s", conn.RemoteAddr().(*net.TCPAddr).IP, b[:n])
				_ = conn.Close()
			}
		}()
		return
	}
	pc, err := net.ListenPacket(network, addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = pc.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			n, a, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(fmt.Appendf(nil, "%s %s", a.(*net.UDPAddr).IP, b[:n]), a)
		}
	}()
}

// TestHostReachesExposedPortsAtItsOwnAddress: such packets never pass the uplink.
func TestHostReachesExposedPortsAtItsOwnAddress(t *testing.T) {
	netnstest.Enter(t)
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
	insideNS := namespaceWith(t, "c0", "10.18.0.1/26", "10.18.0.2/26", true)
	outsideNS := namespaceWith(t, "u0", "192.0.2.1/24", "192.0.2.2/24", false)
	inside := func(f func()) { within(t, insideNS, f) }
	outside := func(f func()) { within(t, outsideNS, f) }
	dualStack(t, "c0", "fc00::1/120", "fc00::2/120", true, inside)
	dualStack(t, "u0", "2001:db8::1/64", "2001:db8::2/64", false, outside)
	c := bothFamilies()
	require.NoError(t, Ensure(c))
	for _, f := range families {
		c.Own = append(c.Own, netip.MustParseAddr(f.own))
		for _, network := range []string{"tcp", "udp"} {
			proto := byte(unix.IPPROTO_TCP)
			if network == "udp" {
				proto = unix.IPPROTO_UDP
			}
			c.Exposed = append(c.Exposed, Redirect{Protocol: proto, Port: 8080, To: netip.AddrPortFrom(netip.MustParseAddr(f.inside), 80)})
			inside(func() { echo(t, network+f.name, net.JoinHostPort(f.inside, "80")) })
			outside(func() { echo(t, network+f.name, net.JoinHostPort(f.outside, "8080")) })
		}
	}
	ask := func(network, addr string) (string, error) {
		conn, err := net.DialTimeout(network, addr, 5*time.Second)
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte("hello"))
		b := make([]byte, 64)
		n, err := conn.Read(b)
		return string(b[:n]), err
	}
	_, err = ask("tcp4", "192.0.2.1:8080")
	require.ErrorIs(t, err, unix.ECONNREFUSED, "nothing is exposed yet")

	var fw Firewall
	require.NoError(t, fw.Expose(c.Own, c.Exposed))
	_, err = ask("tcp4", "192.0.2.1:8080")
	require.ErrorIs(t, err, unix.ECONNREFUSED, "the worker's networks are not known yet")
	require.NoError(t, fw.Configure(c.Subnets, c.Overlay, c.TunnelPort))
	for _, f := range families {
		for _, network := range []string{"tcp", "udp"} {
			got, err := ask(network+f.name, net.JoinHostPort(f.own, "8080"))
			require.NoError(t, err, "%s%s", network, f.name)
			require.Equal(t, f.own+" hello", got)
			got, err = ask(network+f.name, net.JoinHostPort(f.outside, "8080"))
			require.NoError(t, err, "%s%s", network, f.name)
			require.Equal(t, f.own+" hello", got, "the same port elsewhere is left alone")
		}
	}
	require.NoError(t, fw.Expose(c.Own, nil))
	_, err = ask("tcp4", "192.0.2.1:8080")
	require.ErrorIs(t, err, unix.ECONNREFUSED)
}
