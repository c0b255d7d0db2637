// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// authority is a cluster that signs for as long as a test says, over real mutual TLS.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	addr string

	mu                     sync.Mutex
	ttl                    time.Duration
	away                   bool
	id                     string
	joins, renewals, wrong int
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, ttl: time.Hour, id: pki.NewID()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	server := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{pki.ServerName}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf, err := x509.CreateCertificate(rand.Reader, server, a.cert, serverKey.Public(), a.key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf, der}, PrivateKey: serverKey}}})
	require.NoError(t, err)
	a.addr = ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathWorkerJoin, a.join)
	mux.HandleFunc("POST "+wire.PathWorkerRenew, a.renew)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return a
}

func (a *authority) sign(csrPEM string) string {
	csr, err := pki.ParseCSR([]byte(csrPEM))
	if err != nil {
		return ""
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: a.id}, NotBefore: time.Now().Add(-a.ttl / 3),
		NotAfter: time.Now().Add(a.ttl), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, csr.PublicKey, a.key)
	if err != nil {
		return ""
	}
	return string(pki.EncodeCert(der))
}

func (a *authority) answer(w http.ResponseWriter, csr, netCSR string) {
	_ = json.NewEncoder(w).Encode(wire.WorkerJoinResponse{NetCertificate: a.sign(netCSR), JoinResponse: wire.JoinResponse{Format: wire.Format, ID: a.id,
		Certificate: a.sign(csr), CA: string(pki.EncodeCert(a.cert.Raw)), Brokers: []string{":1883"}}})
}

func (a *authority) join(w http.ResponseWriter, r *http.Request) {
	var req wire.WorkerJoinRequest
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away || json.NewDecoder(r.Body).Decode(&req) != nil {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	a.joins++
	a.answer(w, req.CSR, req.NetCSR)
}

func (a *authority) renew(w http.ResponseWriter, r *http.Request) {
	var req wire.WorkerRenewRequest
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(r.TLS.VerifiedChains) == 0 || r.TLS.VerifiedChains[0][0].Subject.CommonName != a.id:
		a.wrong++
		http.Error(w, "whose?", http.StatusUnauthorized)
	case a.away || json.NewDecoder(r.Body).Decode(&req) != nil:
		http.Error(w, "away", http.StatusServiceUnavailable)
	default:
		a.renewals++
		a.answer(w, req.CSR, req.NetCSR)
	}
}

// set changes what the authority does, and returns what it has done.
func (a *authority) set(f func()) (joins, renewals int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	return a.joins, a.renewals
}

func (a *authority) options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	token := pki.Token{Audience: pki.NewID(), Role: pki.RoleWorker, ID: pki.NewID(), Secret: pki.NewSecret(), CAHash: pki.CertHash(a.cert.Raw)}
	file := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(file, []byte(token.String()), 0o600))
	host, port, err := net.SplitHostPort(a.addr)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return Options{Host: host, Port: number, TokenFile: file, StateDir: dir, Name: "w1", Log: slog.New(slog.DiscardHandler)}
}

// TestCertificatesAreRenewed has certificates that are valid for seconds renewed, through a cluster that is away for part of them, and got again by
// token once one has run out; what was renewed is on disk, for the same worker and keys.
func TestCertificatesAreRenewed(t *testing.T) {
	a := newAuthority(t)
	a.ttl = 3 * time.Second
	o := a.options(t)
	id, err := Join(t.Context(), o)
	require.NoError(t, err)
	k, err := NewKeeper(o, id)
	require.NoError(t, err)
	told := make(chan Identity, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx, func(id Identity) { told <- id }); close(done) }()
	t.Cleanup(func() { cancel(); <-done })

	const patience = 20 * time.Second
	for range 2 {
		select {
		case now := <-told:
			require.Equal(t, [3]string{id.WorkerID, id.Key, id.NetKey}, [3]string{now.WorkerID, now.Key, now.NetKey})
			require.NotEqual(t, id.Certificate, now.Certificate)
			require.NotEqual(t, id.NetCertificate, now.NetCertificate)
			stored, err := Load(o.StateDir)
			require.NoError(t, err)
			require.Equal(t, now, *stored)
		case <-time.After(patience):
			t.Fatal("nothing was renewed")
		}
	}
	a.set(func() { a.away = true })
	require.Eventually(t, func() bool { return k.Credentials().Expired(time.Now()) }, patience, 50*time.Millisecond)
	for len(told) > 0 {
		<-told
	}
	joins, _ := a.set(func() { a.away, a.ttl = false, time.Hour })
	select {
	case now := <-told:
		require.Equal(t, id.WorkerID, now.WorkerID)
		require.False(t, k.Credentials().Expired(time.Now()))
	case <-time.After(patience):
		t.Fatal("what has run out was not got again")
	}
	after, renewals := a.set(func() {})
	require.Equal(t, joins+1, after, "a token is used once")
	require.GreaterOrEqual(t, renewals, 2)
	require.Zero(t, a.wrong)
}

// TestAnotherIdentityIsRefused: a cluster that has forgotten the worker takes it for a new one; it must not become that with the old one's workloads.
func TestAnotherIdentityIsRefused(t *testing.T) {
	a := newAuthority(t)
	o := a.options(t)
	a.ttl = -time.Minute // run out at once
	id, err := Join(t.Context(), o)
	require.NoError(t, err)
	k, err := NewKeeper(o, id)
	require.NoError(t, err)
	a.set(func() { a.id, a.ttl = pki.NewID(), time.Hour })
	require.ErrorContains(t, k.renew(t.Context()), ", for another one")
	stored, err := Load(o.StateDir)
	require.NoError(t, err)
	require.Equal(t, [2]string{id.WorkerID, id.WorkerID}, [2]string{k.Identity().WorkerID, stored.WorkerID})
}
