// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// talk is a client on one worker that talks to a server on another.
type talk struct {
	t           *testing.T
	in          family
	client      netns.NsHandle
	here, there net.Conn
	listener    net.Listener
	from, to    wire.LocalEndpoint
}

// newTalk attaches both, calls attached and connects them, telling each worker of the other as the cluster would.
func newTalk(t *testing.T, in family, a, b *worker, attached func()) *talk {
	t.Helper()
	clientPath, client := container(t, "client")
	serverPath, server := container(t, "server")
	from, to := a.attach(0, clientPath), b.attach(1, serverPath)
	attached()

	k := &talk{t: t, in: in, client: client, from: from, to: to}
	var err error
	within(t, server, func() { k.listener, err = net.Listen(in.tcp(), ":80") })
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.listener.Close() })
	b.meet(a, from)
	a.meet(b, to)
	routes := b.c.routes(to)
	routes.Header = a.c.stamp()
	dialled := make(chan error, 1)
	go func() {
		var err error
		k.here, err = k.dial(8 * time.Second)
		dialled <- err
	}()
	var interest wire.NetInterest
	a.eventually("it asks for the address", func() bool { return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 })
	a.c.publish(wire.TopicNetRoutes+serviceID, routes, false)
	require.NoError(t, <-dialled)
	k.there, err = k.listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.here.Close(); _ = k.there.Close() })
	k.both(5 * time.Second)
	return k
}

// dial opens another connection to the server.
func (k *talk) dial(most time.Duration) (conn net.Conn, err error) {
	within(k.t, k.client, func() { conn, err = net.DialTimeout(k.in.tcp(), at(k.in.vip, "80"), most) })
	return conn, err
}

// both has each side say something, which has to arrive in time.
func (k *talk) both(most time.Duration) {
	k.t.Helper()
	for _, way := range [][2]net.Conn{{k.here, k.there}, {k.there, k.here}} {
		const text = "a few words"
		require.NoError(k.t, way[1].SetReadDeadline(time.Now().Add(most)))
		_, err := io.WriteString(way[0], text)
		require.NoError(k.t, err)
		got := make([]byte, len(text))
		_, err = io.ReadFull(way[1], got)
		require.NoError(k.t, err)
		require.Equal(k.t, text, string(got))
	}
}
