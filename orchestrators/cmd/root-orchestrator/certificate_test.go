// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// TestUsersSeeTheOperatorsCertificate: a user's client trusts root by the operator's authority, a cluster goes by the hash in its token.
func TestUsersSeeTheOperatorsCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := operators(t, dir)
	t.Setenv("OAK_ROOT_DATABASE", pgtest.New(t))
	text, err := execute(t, "token", "create", "--quiet")
	require.NoError(t, err)
	token, err := pki.ParseToken(text)
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cmd := newCommand()
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--listen", addr, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--secrets-key-file", filepath.Join(dir, "secrets.key")})
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() { end(); require.NoError(t, <-ended) })

	dial := func(config *tls.Config) error {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, config)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	user := &tls.Config{RootCAs: pool, ServerName: "root.example", MinVersion: tls.VersionTLS12}
	require.Eventually(t, func() bool { return dial(user) == nil }, time.Minute, 20*time.Millisecond, "root serves")
	require.NoError(t, dial(pki.PinnedTLS(token.CAHash)), "a cluster")
	user.ServerName = "other.example"
	require.ErrorContains(t, dial(user), "not other.example")
	require.Error(t, dial(&tls.Config{RootCAs: pool, ServerName: pki.ServerName, MinVersion: tls.VersionTLS12}), "what clusters are shown is no work of the operator's")
}

// operators writes a certificate for root.example.
func operators(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"root.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}
