// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
)

// validity of certificates is that of a benchmark, with room for clocks.
const validity = 24 * time.Hour

// broker is the scripted cluster's: of one worker, on that worker's loopback. It remembers the latest message of each topic.
type broker struct {
	worker string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	addr   string
	srv    *mochi.Server

	mu       sync.Mutex
	wanted   func(wire.NetInterest) // answers what the worker wants routes for
	heard    map[string][]byte
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

func newBroker(worker string, ns *lab.Namespace) (*broker, error) {
	b := &broker{worker: worker, heard: map[string][]byte{}}
	var err error
	if b.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make the cluster's key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "benchmark"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-validity), NotAfter: time.Now().Add(validity), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, b.key.Public(), b.key)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's certificate: %w", err)
	}
	if b.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read the cluster's certificate: %w", err)
	}
	return b, b.serve(ns)
}

// sign issues a certificate and its key, both PEM.
func (b *broker) sign(name string, usage x509.ExtKeyUsage) (cert, key []byte, err error) {
	if key, err = pki.NewKey(); err != nil {
		return nil, nil, err
	}
	signer, err := pki.ParseKey(key)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-validity), NotAfter: time.Now().Add(validity), ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	der, err := x509.CreateCertificate(rand.Reader, template, b.ca, signer.Public(), b.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return pki.EncodeCert(der), key, nil
}

func (b *broker) caPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.ca.Raw})
}

func (b *broker) serve(ns *lab.Namespace) error {
	var l net.Listener
	err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
		return err
	})
	if err != nil {
		return fmt.Errorf("listen for the broker: %w", err)
	}
	b.addr = l.Addr().String()
	cert, key, err := b.sign(pki.ServerName, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("use the broker's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(b.ca)
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumInflight, caps.MaximumClientWritesPending = 1<<16-1, 1<<16 // all services at once
	b.srv = mochi.New(&mochi.Options{InlineClient: true, Capabilities: caps, Logger: slog.New(slog.DiscardHandler)})
	if err := b.srv.AddHook(new(letIn), nil); err != nil {
		return fmt.Errorf("set up the broker: %w", err)
	}
	if err := b.srv.AddListener(listeners.NewNet("l", tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}))); err != nil {
		return fmt.Errorf("open the broker: %w", err)
	}
	if err := b.srv.Subscribe("nodes/#", 1, func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		b.hear(pk.TopicName, slices.Clone(pk.Payload))
	}); err != nil {
		return fmt.Errorf("listen to workers: %w", err)
	}
	if err := b.srv.Serve(); err != nil {
		return fmt.Errorf("serve the broker: %w", err)
	}
	return nil
}

func (b *broker) hear(topic string, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[topic] = payload
	if topic != wire.Topic(b.worker, wire.TopicNetInterest) || b.wanted == nil {
		return
	}
	var m wire.NetInterest
	if err := json.Unmarshal(payload, &m); err == nil {
		go b.wanted(m) // it publishes, and this is the broker's own call
	}
}

// onInterest has f answer what the worker wants from now on.
func (b *broker) onInterest(f func(wire.NetInterest)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = f
}

func (b *broker) close() { _ = b.srv.Close() }

func (b *broker) identity() (wire.LocalIdentity, error) {
	cert, key, err := b.sign(b.worker, x509.ExtKeyUsageClientAuth)
	return wire.LocalIdentity{WorkerID: b.worker, Certificate: string(cert), Key: string(key), CA: string(b.caPEM()), Brokers: []string{b.addr}}, err
}

// stamp is the next of the cluster's.
func (b *broker) stamp() wire.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revision++
	return wire.NewHeader(wire.Stamp{Epoch: 1000, Revision: b.revision})
}

func (b *broker) publish(name string, m any, retain bool) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return b.send(name, payload, retain)
}

func (b *broker) send(name string, payload []byte, retain bool) error {
	if err := b.srv.Publish(wire.Topic(b.worker, name), payload, retain, 1); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

// last decodes the latest message of a topic and reports whether there is one.
func (b *broker) last(name string, into any) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	payload, ok := b.heard[wire.Topic(b.worker, name)]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return false, fmt.Errorf("decode %s: %w", name, err)
	}
	return true, nil
}
