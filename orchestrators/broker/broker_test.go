// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T, cn string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: cn}, DNSNames: []string{pki.ServerName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) client(t *testing.T, cn string) *tls.Config {
	return &tls.Config{RootCAs: a.pool(), ServerName: pki.ServerName, Certificates: []tls.Certificate{a.issue(t, cn)}}
}

func start(t *testing.T) (*Broker, *authority, string) {
	t.Helper()
	ca := newAuthority(t)
	b, err := New(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, b.Serve(ln, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, pki.ServerName)}, ClientCAs: ca.pool()}))
	t.Cleanup(func() { _ = b.Close() })
	return b, ca, ln.Addr().String()
}

func dial(t *testing.T, addr string, conf *tls.Config, id string, o mqtt.Options) *mqtt.Session {
	t.Helper()
	o.Brokers, o.ClientID, o.TLS, o.Log = []string{addr}, id, conf, slog.New(slog.DiscardHandler)
	s, err := mqtt.Dial(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// box gathers messages.
type box struct {
	mu   sync.Mutex
	msgs []string
}

func (b *box) put(topic string, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.msgs = append(b.msgs, topic+" "+string(payload))
}

func (b *box) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.msgs...)
}

const soon = 5 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 5*time.Millisecond, what)
}

func TestWorkerReadsAndWritesItsOwnTopics(t *testing.T) {
	b, ca, addr := start(t)
	require.NoError(t, b.Publish("nodes/"+me+"/desired", []byte("retained"), true))
	require.NoError(t, b.Publish("nodes/"+other+"/desired", []byte("foreign"), true))
	var got, up box
	require.NoError(t, b.Subscribe("nodes/+/information", up.put))

	s := dial(t, addr, ca.client(t, me), me+SuffixEngine, mqtt.Options{})
	require.NoError(t, s.Subscribe("nodes/"+me+"/desired", got.put))
	eventually(t, "retained state", func() bool { return len(got.all()) == 1 })
	require.Equal(t, []string{"nodes/" + me + "/desired retained"}, got.all())

	require.NoError(t, s.Publish(t.Context(), mqtt.Message{Topic: "nodes/" + me + "/information", Payload: []byte("up")}))
	eventually(t, "upward message", func() bool { return len(up.all()) == 1 })

	// Foreign topics are refused, and nothing of them arrives; the session is ended, as MQTT 3.1.1 has no other answer.
	require.Error(t, s.Subscribe("nodes/"+other+"/desired", got.put))
	_ = s.Publish(t.Context(), mqtt.Message{Topic: "nodes/" + other + "/information", Payload: []byte("forged")})
	time.Sleep(50 * time.Millisecond)
	require.Len(t, up.all(), 1)
	require.Len(t, got.all(), 1)
}

func TestRetainedMessageOutsideLivenessIsRefused(t *testing.T) {
	b, ca, addr := start(t)
	s := dial(t, addr, ca.client(t, me), me+SuffixEngine, mqtt.Options{})
	eventually(t, "connect", s.Connected)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Error(t, s.Publish(ctx, mqtt.Message{Topic: "nodes/" + me + "/information", Payload: []byte("x"), Retain: true}))
	var got box
	require.NoError(t, b.Subscribe("nodes/+/information", got.put))
	require.Empty(t, got.all())
}

func TestStrangersAreRefused(t *testing.T) {
	_, ca, addr := start(t)
	foreign := newAuthority(t)
	for name, tc := range map[string]struct {
		conf *tls.Config
		id   string
	}{
		"plain":               {nil, me + SuffixEngine},
		"no certificate":      {&tls.Config{RootCAs: ca.pool(), ServerName: pki.ServerName}, me + SuffixEngine},
		"other authority":     {&tls.Config{RootCAs: ca.pool(), ServerName: pki.ServerName, Certificates: []tls.Certificate{foreign.issue(t, me)}}, me + SuffixEngine},
		"other worker's id":   {ca.client(t, me), other + SuffixEngine},
		"unknown suffix":      {ca.client(t, me), me + "-x"},
		"name is not an id":   {ca.client(t, "inline"), "inline"},
		"server's own client": {ca.client(t, pki.ServerName), "inline"},
	} {
		t.Run(name, func(t *testing.T) {
			s := dial(t, addr, tc.conf, tc.id, mqtt.Options{})
			require.Never(t, s.Connected, 150*time.Millisecond, 10*time.Millisecond)
		})
	}
}

func TestWillIsSentAndAForeignOneRefused(t *testing.T) {
	b, ca, addr := start(t)
	var got box
	require.NoError(t, b.Subscribe("nodes/+/alive/engine", got.put))
	will := &mqtt.Message{Topic: "nodes/" + me + "/alive/engine", Payload: []byte("gone"), Retain: true}
	s := dial(t, addr, ca.client(t, me), me+SuffixEngine, mqtt.Options{Will: will})
	eventually(t, "connect", s.Connected)
	b.Disconnect(me)
	eventually(t, "will", func() bool { return len(got.all()) == 1 })

	will = &mqtt.Message{Topic: "nodes/" + other + "/alive/engine", Payload: []byte("gone"), Retain: true}
	s = dial(t, addr, ca.client(t, me), me+SuffixNet, mqtt.Options{Will: will})
	require.Never(t, s.Connected, 150*time.Millisecond, 10*time.Millisecond)
}

// Packet ids of both directions coincide again and again; neither may lose a message or stall for it.
func TestManyMessagesBothWays(t *testing.T) {
	const n = 3000
	b, ca, addr := start(t)
	var up, down box
	require.NoError(t, b.Subscribe("nodes/+/instances", up.put))
	s := dial(t, addr, ca.client(t, me), me+SuffixEngine, mqtt.Options{})
	require.NoError(t, s.Subscribe("nodes/"+me+"/desired", down.put))
	eventually(t, "connect", s.Connected)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			_ = b.Publish("nodes/"+me+"/desired", fmt.Append(nil, i), false)
			if i%100 == 99 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	})
	for i := range n {
		require.NoError(t, s.Publish(t.Context(), mqtt.Message{Topic: "nodes/" + me + "/instances", Payload: fmt.Append(nil, i)}))
	}
	wg.Wait()
	eventually(t, "all messages", func() bool { return len(up.all()) == n && len(down.all()) == n })
	for i, m := range down.all() {
		require.Equal(t, fmt.Sprintf("nodes/%s/desired %d", me, i), m)
	}
}
