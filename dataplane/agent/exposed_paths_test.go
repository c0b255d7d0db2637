// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// dualStack gives both ends of a cable IPv6 addresses too.
func dualStack(t *testing.T, ends ...*worker) {
	t.Helper()
	for i, w := range ends {
		w.within(func() {
			up, err := netlink.LinkByName("up")
			require.NoError(t, err)
			addr, err := netlink.ParseAddr(fmt.Sprintf("2001:db8::%d/64", i+1))
			require.NoError(t, err)
			addr.Flags = unix.IFA_F_NODAD
			require.NoError(t, netlink.AddrAdd(up, addr))
		})
	}
}

// mirror answers whoever asks with the address that it sees.
func mirror(t *testing.T, in func(func()), port int) {
	t.Helper()
	in(func() {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(conn.RemoteAddr().(*net.TCPAddr).IP.String()))
				_ = conn.Close()
			}
		}()
		pc, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
		require.NoError(t, err)
		t.Cleanup(func() { _ = pc.Close() })
		go func() {
			b := make([]byte, 64)
			for {
				_, from, err := pc.ReadFromUDP(b)
				if err != nil {
					return
				}
				_, _ = pc.WriteToUDP([]byte(from.IP.String()), from)
			}
		}()
	})
}

// askMirror returns what the mirror at addr says.
func askMirror(t *testing.T, in func(func()), network, addr string) (answer string) {
	t.Helper()
	in(func() {
		conn, err := net.DialTimeout(network, addr, 5*time.Second)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = conn.Write([]byte("?"))
		require.NoError(t, err)
		b := make([]byte, 64)
		n, err := conn.Read(b)
		require.NoError(t, err, "%s %s", network, addr)
		answer = string(b[:n])
	})
	return answer
}

func (w *worker) expose(number int, path string, ports ...wire.Port) (e wire.LocalEndpoint) {
	w.t.Helper()
	want := attachRequest(number, path)
	want.InstanceIPv6 = netip.MustParseAddr(fmt.Sprintf("fdff::%x", number+1))
	want.Ports = ports
	_, err := w.ask(http.MethodPut, wire.PathLocalEndpoints, want, &e)
	require.NoError(w.t, err)
	return e
}

// TestExposedPortIsReachedFromEverywhere has each kind of caller reach one exposed port, in both protocols and families.
func TestExposedPortIsReachedFromEverywhere(t *testing.T) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns)
	dualStack(t, a, b)
	a.join()
	b.join()
	serverPath, server := container(t, "server")
	localPath, local := container(t, "local")
	remotePath, remote := container(t, "remote")
	to := a.expose(0, serverPath, wire.Port{Host: 8080, Container: 80, Protocol: wire.ProtocolTCP}, wire.Port{Host: 8080, Container: 80, Protocol: wire.ProtocolUDP})
	neighbour := a.expose(1, localPath)
	b.expose(2, remotePath)
	mirror(t, func(f func()) { within(t, server, f) }, 80)
	require.True(t, to.NamespaceIPv6.IsValid(), "the test needs IPv6")

	for _, f := range []struct{ version, own, other, neighbour, itself string }{
		{"4", "192.0.2.1", "192.0.2.2", neighbour.InstanceIP.String(), "192.0.2.1"},
		{"6", "2001:db8::1", "2001:db8::2", neighbour.InstanceIPv6.String(), "2001:db8::1"},
	} {
		at := net.JoinHostPort(f.own, "8080")
		for _, protocol := range []string{"tcp", "udp"} {
			t.Run(protocol+f.version, func(t *testing.T) {
				ask := func(in func(func())) string { return askMirror(t, in, protocol+f.version, at) }
				require.Equal(t, f.other, ask(b.within), "from the outside, which other workers are too")
				require.Equal(t, f.own, ask(a.within), "from its own host")
				require.Equal(t, f.other, ask(func(f func()) { within(t, remote, f) }), "from a container of another worker, which its worker stands for")
				require.Equal(t, f.neighbour, ask(func(f func()) { within(t, local, f) }), "from a container of the same worker")
				require.Equal(t, f.itself, ask(func(f func()) { within(t, server, f) }), "from itself")
			})
		}
	}
	a.kill()
	require.Equal(t, "192.0.2.2", askMirror(t, b.within, "tcp4", "192.0.2.1:8080"), "without NetManager")
	a.start()
	require.Equal(t, "192.0.2.2", askMirror(t, b.within, "tcp4", "192.0.2.1:8080"), "after its start")
}

// TestConnectionOfTheHostFromAnExposedPort has connections of the host that began before the port was exposed go on, although they have
// its number, and later ones get another.
func TestConnectionOfTheHostFromAnExposedPort(t *testing.T) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns)
	a.join()
	mirror(t, b.within, 7)
	var tcp net.Listener
	var udp, held net.Conn
	var err error
	b.within(func() { tcp, err = net.Listen("tcp4", ":443") })
	require.NoError(t, err)
	defer func() { _ = tcp.Close() }()
	dial := func(network, to string) (conn net.Conn) {
		a.within(func() {
			local := net.Addr(&net.UDPAddr{Port: 40000})
			if network == "tcp4" {
				local = &net.TCPAddr{Port: 40000}
			}
			conn, err = (&net.Dialer{LocalAddr: local, Timeout: 5 * time.Second}).Dial(network, to)
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	udp, held = dial("udp4", "192.0.2.2:7"), dial("tcp4", "192.0.2.2:443")
	there, err := tcp.Accept()
	require.NoError(t, err)
	defer func() { _ = there.Close() }()

	path, server := container(t, "server")
	a.expose(0, path, wire.Port{Host: 40000, Container: 80, Protocol: wire.ProtocolTCP}, wire.Port{Host: 40000, Container: 80, Protocol: wire.ProtocolUDP})
	mirror(t, func(f func()) { within(t, server, f) }, 80)
	for range 3 {
		b4 := make([]byte, 64)
		require.NoError(t, udp.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = udp.Write([]byte("?"))
		require.NoError(t, err)
		n, err := udp.Read(b4)
		require.NoError(t, err, "the host's datagrams are answered to the host")
		require.Equal(t, "192.0.2.1", string(b4[:n]))
		for _, way := range [][2]net.Conn{{held, there}, {there, held}} {
			require.NoError(t, way[1].SetDeadline(time.Now().Add(5*time.Second)))
			_, err = way[0].Write([]byte("hello"))
			require.NoError(t, err)
			n, err = way[1].Read(b4)
			require.NoError(t, err)
			require.Equal(t, "hello", string(b4[:n]))
		}
		for _, network := range []string{"tcp4", "udp4"} {
			require.Equal(t, "192.0.2.2", askMirror(t, b.within, network, "192.0.2.1:40000"), "others reach the instance meanwhile")
		}
	}
	// The kernel gives out no exposed port, whoever asks.
	a.within(func() {
		require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40001"), 0))
		for range 3 {
			pc, err := net.ListenPacket("udp4", ":0")
			require.NoError(t, err)
			require.Equal(t, 40001, pc.LocalAddr().(*net.UDPAddr).Port)
			require.NoError(t, pc.Close())
		}
	})
}
