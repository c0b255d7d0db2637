// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// exchange has client connect to addr, where l listens, and returns whom the server saw.
func exchange(t *testing.T, client func(func()), l net.Listener, addr string) string {
	t.Helper()
	type dialled struct {
		net.Conn
		err error
	}
	result := make(chan dialled, 1)
	go client(func() {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		result <- dialled{conn, err}
	})
	d := <-result
	require.NoError(t, d.err)
	defer func() { _ = d.Close() }()
	conn, err := l.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return conn.RemoteAddr().(*net.TCPAddr).IP.String()
}

func TestContainersReachTheOutsideAndAreReachedByTheirHost(t *testing.T) {
	eachFamily(t, containersReachTheOutside)
}

func containersReachTheOutside(t *testing.T, f family) {
	h, c := newHost(t), newCluster(t, workerID)
	outside := netnstest.New(t)
	cable(t, h.ns, outside, f)
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, ns := container(t, "a")
	var e wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(0, path), &e)
	require.NoError(t, err)

	listen := func(in func(func())) (l net.Listener) {
		in(func() { l, err = net.Listen(f.tcp(), ":80") })
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	inside := func(f func()) { within(t, ns, f) }
	l := listen(func(f func()) { within(t, outside, f) })
	require.Equal(t, f.outer(0).String(), exchange(t, inside, l, at(f.outer(1), "80")), "the outside sees the host")
	require.Equal(t, f.gateway.String(), exchange(t, h.within, listen(inside), at(f.namespace(e), "80")), "the host appears as the gateway")

	// Others load their firewall anew, and make the host a router and no router again.
	h.within(func() {
		conn, err := nftables.New()
		require.NoError(t, err)
		conn.FlushRuleset()
		require.NoError(t, conn.Flush())
		for _, v := range []string{"1", "0"} {
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(v), 0))
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte(v), 0))
		}
	})
	h.eventually("containers reach the outside again", func() (reached bool) {
		inside(func() {
			conn, err := net.DialTimeout(f.tcp(), at(f.outer(1), "80"), 200*time.Millisecond)
			if reached = err == nil; reached {
				_ = conn.Close()
			}
		})
		return reached
	})
}
