// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Silent connections, more than may wait for a handshake, keep no worker out.
func TestSilentStrangersKeepNobodyOut(t *testing.T) {
	_, ca, addr := start(t)
	for range maxHandshakes + 20 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	worker := pki.NewID()
	begin := time.Now()
	s := dial(t, addr, ca.client(t, worker), worker+SuffixEngine, mqtt.Options{})
	eventually(t, "connected", s.Connected)
	require.Less(t, time.Since(begin), handshakeTimeout/2)
}

// A worker that makes up names of services to subscribe to is ended before it fills the memory.
func TestSubscriptionsAreBounded(t *testing.T) {
	b, ca, addr := start(t)
	worker := pki.NewID()
	s := dial(t, addr, ca.client(t, worker), worker+SuffixNet, mqtt.Options{})
	eventually(t, "connected", s.Connected)
	most := 0
	for range 3 * maxSubscriptions {
		_ = s.Subscribe(wire.Topic(worker, wire.TopicNetRoutes+pki.NewID()), func(string, []byte) {})
		if cl, ok := b.server.Clients.Get(worker + SuffixNet); ok {
			most = max(most, cl.State.Subscriptions.Len())
		}
	}
	require.LessOrEqual(t, most, maxSubscriptions)
	require.Greater(t, most, maxSubscriptions/2)
}
