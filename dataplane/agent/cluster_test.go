// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const workerID = "aaaaaaaaaaaaaaaaaaaaaaaa"

// cluster is a scripted cluster orchestrator of one worker: a real broker that remembers what the worker said.
type cluster struct {
	t      *testing.T
	worker string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	addr   string
	srv    *mochi.Server

	mu       sync.Mutex
	heard    map[string][][]byte
	revision uint64
}

// letIn lets in whom TLS has let in.
type letIn struct{ mochi.HookBase }

func (*letIn) ID() string { return "let-in" }
func (*letIn) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*letIn) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*letIn) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func newCluster(t *testing.T, worker string) *cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	require.NoError(t, err)
	ca, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	c := &cluster{t: t, worker: worker, ca: ca, key: key, heard: map[string][][]byte{}}
	t.Cleanup(c.stop)
	return c
}

// sign issues a certificate and its key, both PEM.
func (c *cluster) sign(name string, usage x509.ExtKeyUsage) (cert, key []byte) {
	c.t.Helper()
	key, err := pki.NewKey()
	require.NoError(c.t, err)
	signer, err := pki.ParseKey(key)
	require.NoError(c.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}}, c.ca, signer.Public(), c.key)
	require.NoError(c.t, err)
	return pki.EncodeCert(der), key
}

func (c *cluster) caPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.Raw}))
}

// serve starts the broker on the host's loopback, at the address of before if it has been up.
func (c *cluster) serve(h *host) {
	c.t.Helper()
	if c.addr == "" {
		c.addr = "127.0.0.1:0"
	}
	var l net.Listener
	var err error
	h.within(func() { l, err = net.Listen("tcp4", c.addr) })
	require.NoError(c.t, err)
	c.addr = l.Addr().String()
	cert, key := c.sign(pki.ServerName, x509.ExtKeyUsageServerAuth)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(c.t, err)
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumInflight, caps.MaximumClientWritesPending = 1<<16-1, 1<<16 // thousands of services at once
	c.srv = mochi.New(&mochi.Options{InlineClient: true, Capabilities: caps, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(c.t, c.srv.AddHook(new(letIn), nil))
	require.NoError(c.t, c.srv.AddListener(listeners.NewNet("l", tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}))))
	require.NoError(c.t, c.srv.Subscribe("nodes/#", 1, func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard[pk.TopicName] = append(c.heard[pk.TopicName], append([]byte(nil), pk.Payload...))
	}))
	require.NoError(c.t, c.srv.Serve())
}

func (c *cluster) stop() {
	if c.srv == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.srv.Close()
	}()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(50 * time.Millisecond):
			for _, late := range c.srv.Clients.GetAll() { // came in while the others were sent away
				if !late.Net.Inline {
					late.Stop(io.EOF)
				}
			}
		}
	}
	c.srv = nil
}

func (c *cluster) identity() wire.LocalIdentity {
	cert, key := c.sign(c.worker, x509.ExtKeyUsageClientAuth)
	return wire.LocalIdentity{WorkerID: c.worker, Certificate: string(cert), Key: string(key), CA: c.caPEM(), Brokers: []string{c.addr}}
}

// stamp is the next of the cluster's.
func (c *cluster) stamp() wire.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision++
	return wire.NewHeader(wire.Stamp{Epoch: 1000, Revision: c.revision})
}

func (c *cluster) publish(name string, m any, retain bool) {
	c.t.Helper()
	payload, err := json.Marshal(m)
	require.NoError(c.t, err)
	require.NoError(c.t, c.srv.Publish(wire.Topic(c.worker, name), payload, retain, 1))
}

// last decodes the latest message of a topic and reports whether there is one.
func (c *cluster) last(name string, into any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.heard[wire.Topic(c.worker, name)]
	if len(list) == 0 {
		return false
	}
	require.NoError(c.t, json.Unmarshal(list[len(list)-1], into))
	return true
}

func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = map[string][][]byte{}
}
