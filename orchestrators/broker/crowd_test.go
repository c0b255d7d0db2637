// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
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
