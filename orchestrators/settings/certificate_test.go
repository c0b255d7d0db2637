// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// issue writes a self-signed certificate of that name and its key.
func issue(t *testing.T, dir, name string, until time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		// As an operator's tools do it: a new file takes the place of the old one.
		require.NoError(t, os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	return certFile, keyFile
}

// certificate makes one by flags.
func certificate(t *testing.T, args ...string) *Certificate {
	t.Helper()
	c := &Certificate{}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(flags)
	require.NoError(t, flags.Parse(args))
	return c
}

// shown is the name in the certificate that somebody is shown who asks for a server.
func shown(t *testing.T, config *tls.Config, server string) string {
	t.Helper()
	cert, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: server})
	require.NoError(t, err)
	if cert.Leaf == nil {
		return ""
	}
	return cert.Leaf.Subject.CommonName
}

func TestUsersAreShownTheOperatorsCertificateAndClustersRootsOwn(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := issue(t, dir, "first.example", time.Now().Add(time.Hour))
	c := certificate(t, "--tls-cert-file", certFile, "--tls-key-file", keyFile)
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }} //nolint:gosec // nothing is dialled
	var log bytes.Buffer
	require.NoError(t, c.Serve(config, slog.New(slog.NewTextHandler(&log, nil))))
	require.Equal(t, "first.example", shown(t, config, "first.example"))
	require.Equal(t, "first.example", shown(t, config, ""), "dialled by an address")
	require.Empty(t, shown(t, config, pki.ServerName), "a cluster")

	// A new one is served once its files are looked at again; what is broken, or half there, is not.
	issue(t, dir, "second.example", time.Now().Add(time.Hour))
	c.looked = time.Time{}
	require.Equal(t, "second.example", shown(t, config, "first.example"))
	require.NoError(t, os.WriteFile(certFile, []byte("no certificate"), 0o600))
	c.looked = time.Time{}
	require.Equal(t, "second.example", shown(t, config, ""))
	require.Contains(t, log.String(), "going on with the one before")
	require.NoError(t, os.Remove(keyFile))
	c.looked = time.Time{}
	require.Equal(t, "second.example", shown(t, config, ""))
	issue(t, dir, "third.example", time.Now().Add(time.Hour))
	c.looked = time.Time{}
	require.Equal(t, "third.example", shown(t, config, ""))
	require.NotContains(t, log.String(), "expired")
}

func TestACertificateThatCannotBeReadIsRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := issue(t, dir, "a.example", time.Now().Add(-time.Hour))
	quiet := slog.New(slog.DiscardHandler)
	for _, args := range [][]string{{"--tls-cert-file", certFile}, {"--tls-key-file", keyFile}} {
		err := certificate(t, args...).Serve(&tls.Config{}, quiet) //nolint:gosec // nothing is dialled
		require.Equal(t, cmdline.Usage, cmdline.Code(err))
		require.ErrorContains(t, err, "go together")
	}
	for _, pair := range [][2]string{{certFile, certFile}, {certFile, keyFile + ".none"}, {keyFile, keyFile}} {
		err := certificate(t, "--tls-cert-file", pair[0], "--tls-key-file", pair[1]).Serve(&tls.Config{}, quiet) //nolint:gosec // nothing is dialled
		require.ErrorContains(t, err, "--tls-cert-file")
	}
	var log bytes.Buffer
	require.NoError(t, certificate(t, "--tls-cert-file", certFile, "--tls-key-file", keyFile).Serve(&tls.Config{}, slog.New(slog.NewTextHandler(&log, nil)))) //nolint:gosec // nothing is dialled
	require.Contains(t, log.String(), "has expired")
	config := &tls.Config{} //nolint:gosec // nothing is dialled
	require.NoError(t, certificate(t).Serve(config, quiet))
	require.Nil(t, config.GetCertificate, "without the flags nothing changes")
}
