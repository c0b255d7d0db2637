// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestAClustersCertificateIsRenewed(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	csr, err := pki.NewCSR(c.key)
	require.NoError(t, err)
	var answer wire.JoinResponse
	require.Equal(t, 200, c.send(http.MethodPost, c.url(wire.PathClusterRenew), wire.ClusterRenewRequest{Format: wire.Format, CSR: string(csr)}, &answer))
	require.Equal(t, c.id, answer.ID)
	conf, err := pki.ClientTLS([]byte(answer.Certificate), c.key, []byte(answer.CA))
	require.NoError(t, err)
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.report(c.full(1))

	// For another key, from the future, or what is no request: refused.
	other, err := pki.NewKey()
	require.NoError(t, err)
	foreign, err := pki.NewCSR(other)
	require.NoError(t, err)
	for want, in := range map[int]wire.ClusterRenewRequest{
		403: {Format: wire.Format, CSR: string(foreign)},
		422: {Format: wire.Format + 1, CSR: string(csr)},
	} {
		require.Equal(t, want, c.send(http.MethodPost, c.url(wire.PathClusterRenew), in, nil))
	}
	require.Equal(t, 422, c.send(http.MethodPost, c.url(wire.PathClusterRenew), wire.ClusterRenewRequest{Format: wire.Format, CSR: "x"}, nil))
	s.ok(http.MethodDelete, "/api/v1/clusters/"+c.id+"?force=true", nil)
	require.Equal(t, 404, c.send(http.MethodPost, c.url(wire.PathClusterRenew), wire.ClusterRenewRequest{Format: wire.Format, CSR: string(csr)}, nil))
}
