// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func newCA(t *testing.T) *identity.CA {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ca, err := identity.LoadCA(t.Context(), pool)
	require.NoError(t, err)
	again, err := identity.LoadCA(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, ca.Hash(), again.Hash(), "the authority is created once")
	return ca
}

func serve(t *testing.T, ca *identity.CA) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := identity.PeerID(r)
		if !ok {
			id = "nobody"
		}
		_, _ = io.WriteString(w, id)
	}))
	var err error
	server.TLS, err = ca.ServerTLS("127.0.0.1")
	require.NoError(t, err)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func get(url string, cfg *tls.Config) (string, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestMutualTLS(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	url := serve(t, ca)

	body, err := get(url, pki.PinnedTLS(ca.Hash()))
	require.NoError(t, err)
	require.Equal(t, "nobody", body)
	_, err = get(url, pki.PinnedTLS(other.Hash()))
	require.ErrorContains(t, err, "is the join token from this orchestrator?")

	key, err := pki.NewKey()
	require.NoError(t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	id := pki.NewID()
	cert, err := ca.SignClient(csr, id, "", time.Hour)
	require.NoError(t, err)
	cfg, err := pki.ClientTLS(cert, key, ca.CertPEM())
	require.NoError(t, err)
	body, err = get(url, cfg)
	require.NoError(t, err)
	require.Equal(t, id, body)

	// A certificate of another authority is not taken, and a server of another one is not trusted.
	foreign, err := other.SignClient(csr, id, "", time.Hour)
	require.NoError(t, err)
	cfg, err = pki.ClientTLS(foreign, key, ca.CertPEM())
	require.NoError(t, err)
	// Go's client leaves out a certificate whose issuer the server does not name; force it.
	pair := cfg.Certificates[0]
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	_, err = get(url, cfg)
	require.Error(t, err)
	cfg, err = pki.ClientTLS(cert, key, other.CertPEM())
	require.NoError(t, err)
	_, err = get(url, cfg)
	require.Error(t, err)

	// A client certificate does not make a server: another worker cannot pose as the orchestrator.
	pair, err = tls.X509KeyPair(append(cert, ca.CertPEM()...), key)
	require.NoError(t, err)
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	impostor.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	impostor.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	impostor.StartTLS()
	defer impostor.Close()
	_, err = get(impostor.URL, pki.PinnedTLS(ca.Hash()))
	require.Error(t, err)
}

func TestTokens(t *testing.T) {
	ctx := t.Context()
	ca, other := newCA(t), newCA(t)
	tok, err := ca.IssueToken(ctx, pki.RoleCluster, time.Hour, 2)
	require.NoError(t, err)

	forged := tok
	forged.Secret = pki.NewSecret()
	require.ErrorIs(t, ca.RedeemToken(ctx, forged.String(), pki.RoleCluster), identity.ErrToken)
	require.ErrorIs(t, ca.RedeemToken(ctx, "junk", pki.RoleCluster), identity.ErrToken)
	require.ErrorContains(t, ca.RedeemToken(ctx, tok.String(), pki.RoleWorker), "admits to role cluster")
	require.ErrorContains(t, other.RedeemToken(ctx, tok.String(), pki.RoleCluster), "another installation")
	swapped := tok
	swapped.Role = pki.RoleWorker
	require.ErrorIs(t, ca.RedeemToken(ctx, swapped.String(), pki.RoleWorker), identity.ErrToken)

	for range 3 { // of two uses: to ask is none
		require.NoError(t, ca.InspectToken(ctx, tok.String(), pki.RoleCluster))
	}
	require.ErrorIs(t, ca.InspectToken(ctx, forged.String(), pki.RoleCluster), identity.ErrToken)
	require.ErrorContains(t, ca.InspectToken(ctx, tok.String(), pki.RoleWorker), "admits to role cluster")
	require.NoError(t, ca.RedeemToken(ctx, tok.String(), pki.RoleCluster))
	require.NoError(t, ca.RedeemToken(ctx, tok.String(), pki.RoleCluster))
	require.ErrorContains(t, ca.RedeemToken(ctx, tok.String(), pki.RoleCluster), "as often as allowed")
	require.ErrorContains(t, ca.InspectToken(ctx, tok.String(), pki.RoleCluster), "as often as allowed")

	short, err := ca.IssueToken(ctx, pki.RoleWorker, time.Millisecond, 1)
	require.NoError(t, err)
	time.Sleep(10 * time.Millisecond)
	require.ErrorContains(t, ca.RedeemToken(ctx, short.String(), pki.RoleWorker), "expired")
	require.ErrorContains(t, ca.InspectToken(ctx, short.String(), pki.RoleWorker), "expired")

	for _, bad := range []func() error{
		func() error { _, err := ca.IssueToken(ctx, "admin", time.Hour, 1); return err },
		func() error { _, err := ca.IssueToken(ctx, pki.RoleWorker, 0, 1); return err },
		func() error { _, err := ca.IssueToken(ctx, pki.RoleWorker, time.Hour, 0); return err },
	} {
		require.Error(t, bad())
	}
}
