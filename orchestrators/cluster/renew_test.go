// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// postRenew asks for new certificates for keys with a TLS configuration.
func (b *bed) postRenew(conf *tls.Config, key, netKey []byte) (resp wire.WorkerJoinResponse, status int, err error) {
	b.t.Helper()
	csr, err := pki.NewCSR(key)
	require.NoError(b.t, err)
	netCSR, err := pki.NewCSR(netKey)
	require.NoError(b.t, err)
	payload, err := json.Marshal(wire.WorkerRenewRequest{Format: wire.Format, CSR: string(csr), NetCSR: string(netCSR)})
	require.NoError(b.t, err)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: soon}
	defer client.CloseIdleConnections()
	answer, err := client.Post("https://"+b.api+wire.PathWorkerRenew, "application/json", bytes.NewReader(payload))
	if err != nil {
		return resp, 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	if answer.StatusCode == http.StatusOK {
		require.NoError(b.t, json.Unmarshal(text, &resp))
	}
	return resp, answer.StatusCode, nil
}

func TestAWorkersCertificatesAreRenewed(t *testing.T) {
	b := newBed(t)
	b.ready()
	key, netKey := newKey(t), newKey(t)
	joined, status, body := b.postJoin(b.workerToken(), "w1", key)
	require.Equal(t, 200, status, body)
	conf, err := pki.ClientTLS([]byte(joined.Certificate), key, []byte(joined.CA))
	require.NoError(t, err)

	renewed, status, err := b.postRenew(conf, key, netKey)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Equal(t, joined.ID, renewed.ID)
	require.Equal(t, joined.Brokers, renewed.Brokers)
	require.NotEqual(t, joined.Certificate, renewed.Certificate)
	for cert, its := range map[string][]byte{renewed.Certificate: key, renewed.NetCertificate: netKey} {
		_, err := pki.ClientTLS([]byte(cert), its, []byte(renewed.CA))
		require.NoError(t, err, "the certificate is for the key")
		leaf, err := pki.ParseCert([]byte(cert))
		require.NoError(t, err)
		require.Equal(t, joined.ID, leaf.Subject.CommonName)
	}

	// Not for another key, nor for another worker's, nor without a certificate, nor with one that has run out.
	_, status, err = b.postRenew(conf, newKey(t), netKey)
	require.NoError(t, err)
	require.Equal(t, 403, status)
	other := newKey(t)
	_, status, body = b.postJoin(b.workerToken(), "w2", other)
	require.Equal(t, 200, status, body)
	_, status, err = b.postRenew(conf, other, netKey)
	require.NoError(t, err)
	require.Equal(t, 403, status)
	_, status, err = b.postRenew(pki.PinnedTLS(b.ca.Hash()), key, netKey)
	require.NoError(t, err)
	require.Equal(t, 401, status)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	old, err := b.ca.SignClient(csr, joined.ID, orgWorker, -time.Minute)
	require.NoError(t, err)
	conf, err = pki.ClientTLS(old, key, []byte(joined.CA))
	require.NoError(t, err)
	_, _, err = b.postRenew(conf, key, netKey)
	require.ErrorContains(t, err, "expired")
}

func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := pki.NewKey()
	require.NoError(t, err)
	return key
}

// TestTheClustersOwnCertificateIsRenewed lets root sign for seconds: the cluster is there long after the first certificate has run out, and after a
// time in which root was away for longer than one is valid.
func TestTheClustersOwnCertificateIsRenewed(t *testing.T) {
	b := makeBed(t, pgtest.New(t))
	b.weigh = time.Hour
	b.root.certTTL = 3 * time.Second
	b.start()
	t.Cleanup(func() { b.halt() })
	b.ready()
	eventually(t, "renewed twice", func() bool {
		b.root.mu.Lock()
		defer b.root.mu.Unlock()
		return b.root.renewals >= 2
	})
	b.root.mu.Lock()
	b.root.away = true
	b.root.mu.Unlock()
	eventually(t, "the certificate has run out", func() bool {
		var valid string
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT cert_pem FROM root_link`).Scan(&valid))
		leaf, err := pki.ParseCert([]byte(valid))
		return err == nil && time.Now().After(leaf.NotAfter.Add(time.Second))
	})
	b.root.mu.Lock()
	b.root.away, b.root.certTTL = false, time.Hour
	before := b.root.joins
	b.root.mu.Unlock()
	eventually(t, "joined again by its token, as the same cluster", func() bool {
		b.root.mu.Lock()
		joins := b.root.joins
		b.root.mu.Unlock()
		var status StatusView
		b.get(PathStatus, &status)
		return joins > before && status.Connected && status.ID == clusterID
	})
}
