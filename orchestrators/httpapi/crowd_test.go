// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Silent connections, more than may wait for their first byte, keep nobody out.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	addr := start(t, nil)
	for range 1024 + 50 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	client := &http.Client{Timeout: 3 * time.Second}
	resp, err := client.Get("http://" + addr + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
