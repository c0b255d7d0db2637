// SPDX-License-Identifier: Apache-2.0

package main

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
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// allow lets everyone in whom TLS let in.
type allow struct{ mochi.HookBase }

func (*allow) ID() string { return "allow" }
func (*allow) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*allow) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*allow) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

// cluster is a scripted neighbour above: it signs whoever comes with its token, and has a real broker with mutual TLS.
type cluster struct {
	t      *testing.T
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	api    *httptest.Server
	mqtt   net.Addr
	token  pki.Token
	worker string

	mu      sync.Mutex
	broker  *mochi.Server
	rev     uint64
	desired wire.Desired
	joins   int
	rows    map[string]wire.WorkerInstance
	alive   []wire.Alive
	info    wire.Information
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, worker: pki.NewID(), rows: map[string]wire.WorkerInstance{}}
	var err error
	c.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &c.caKey.PublicKey, c.caKey)
	c.must(err)
	c.ca, err = x509.ParseCertificate(der)
	c.must(err)
	c.token = pki.Token{Audience: pki.NewID(), Role: "worker", ID: pki.NewID(), Secret: pki.NewSecret(), CAHash: pki.CertHash(der)}

	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathWorkerJoin, c.join)
	c.api = httptest.NewUnstartedServer(mux)
	c.api.TLS = c.serverTLS(tls.NoClientCert)
	c.api.StartTLS()
	t.Cleanup(c.api.Close)
	c.startBroker("127.0.0.1:0")
	t.Cleanup(func() { _ = c.broker.Close() })
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) sign(pub any, usage x509.ExtKeyUsage, cn string) []byte {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, DNSNames: []string{"orchestrator"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.ca, pub, c.caKey)
	if err != nil {
		c.t.Error(err)
	}
	return der
}

func (c *cluster) serverTLS(auth tls.ClientAuthType) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	return &tls.Config{ClientAuth: auth, ClientCAs: pool, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.sign(&key.PublicKey, x509.ExtKeyUsageServerAuth, "orchestrator"), c.ca.Raw}, PrivateKey: key}}}
}

func (c *cluster) join(w http.ResponseWriter, r *http.Request) {
	var req wire.WorkerJoinRequest
	if r.Header.Get("Authorization") != "Bearer "+c.token.String() || json.NewDecoder(r.Body).Decode(&req) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"detail":"the token is spent"}`))
		return
	}
	c.mu.Lock()
	c.joins++
	first := c.joins == 1
	c.mu.Unlock()
	if first { // a cluster that is not ready yet is asked again
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	cert := func(csr string) string {
		p, err := pki.ParseCSR([]byte(csr))
		if err != nil {
			c.t.Error(err)
			return ""
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.sign(p.PublicKey, x509.ExtKeyUsageClientAuth, c.worker)}))
	}
	_, port, _ := net.SplitHostPort(c.mqtt.String())
	resp := wire.WorkerJoinResponse{NetCertificate: cert(req.NetCSR)}
	resp.JoinResponse = wire.JoinResponse{Format: wire.Format, ID: c.worker, Certificate: cert(req.CSR), CA: string(pki.EncodeCert(c.ca.Raw)), Brokers: []string{":" + port}}
	_ = json.NewEncoder(w).Encode(resp)
}

func (c *cluster) startBroker(addr string) {
	c.t.Helper()
	ln, err := tls.Listen("tcp", addr, c.serverTLS(tls.RequireAndVerifyClientCert))
	c.must(err)
	srv := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	c.must(srv.AddHook(new(allow), nil))
	c.must(srv.AddListener(listeners.NewNet("l", ln)))
	c.must(srv.Serve())
	c.must(srv.Subscribe("nodes/#", 1, c.receive))
	c.mu.Lock()
	c.broker, c.mqtt = srv, ln.Addr()
	c.mu.Unlock()
}

// receive takes in what the worker says, as the first version of the message format has it.
func (c *cluster) receive(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	switch pk.TopicName {
	case wire.Topic(c.worker, wire.TopicInstances):
		var m wire.Instances
		err = json.Unmarshal(pk.Payload, &m)
		if m.Full {
			clear(c.rows)
		}
		for _, r := range m.Instances {
			c.rows[r.InstanceKey.String()+"/"+r.Generation.String()] = r
		}
	case wire.Topic(c.worker, wire.TopicInformation):
		err = json.Unmarshal(pk.Payload, &c.info)
	case wire.Topic(c.worker, wire.TopicAliveEngine):
		var a wire.Alive
		err = json.Unmarshal(pk.Payload, &a)
		c.alive = append(c.alive, a)
	}
	if err != nil {
		c.t.Errorf("%s: %v", pk.TopicName, err)
	}
}

// publish sends the next desired state, retained.
func (c *cluster) publish(want []wire.DesiredInstance, stop ...wire.Tombstone) {
	c.t.Helper()
	c.mu.Lock()
	c.rev++
	c.desired = wire.Desired{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: c.rev}), Instances: want, Tombstones: stop}
	c.mu.Unlock()
	c.republish()
}

func (c *cluster) republish() {
	c.t.Helper()
	data, err := json.Marshal(c.desired)
	c.must(err)
	c.must(c.broker.Publish(wire.Topic(c.worker, wire.TopicDesired), data, true, 1))
}

func (c *cluster) row(key wire.InstanceKey, g wire.Generation) wire.WorkerInstance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[key.String()+"/"+g.String()]
}

// forget loses what the worker has told of its instances.
func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.rows)
}

func (c *cluster) joined() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joins
}

func (c *cluster) lastAlive() wire.Alive {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.alive) == 0 {
		return wire.Alive{}
	}
	return c.alive[len(c.alive)-1]
}

// overlay is a scripted NetManager.
type overlay struct {
	srv       *http.Server
	socket    string
	mu        sync.Mutex
	identity  wire.LocalIdentity
	endpoints map[wire.InstanceKey]wire.LocalEndpoint
	changed   func(call string) // after each call that changes something, before it is answered
}

func newOverlay(t *testing.T, dir string) *overlay {
	o := &overlay{socket: filepath.Join(dir, "nm.sock"), endpoints: map[wire.InstanceKey]wire.LocalEndpoint{}}
	o.start(t)
	t.Cleanup(func() { _ = o.srv.Close() })
	return o
}

func (o *overlay) start(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("unix", o.socket)
	if err != nil {
		t.Fatal(err)
	}
	o.srv = &http.Server{Handler: o.routes()}
	go func() { _ = o.srv.Serve(ln) }()
}

func (o *overlay) routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
	locked := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { o.mu.Lock(); defer o.mu.Unlock(); f(w, r) }
	}
	mux.HandleFunc("GET "+wire.PathLocalStatus, locked(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, wire.LocalStatus{WorkerID: o.identity.WorkerID, Ready: o.identity.WorkerID != "", Reason: "no identity"})
	}))
	mux.HandleFunc("PUT "+wire.PathLocalIdentity, locked(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&o.identity)
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("PUT "+wire.PathLocalEndpoints, locked(func(w http.ResponseWriter, r *http.Request) {
		var e wire.LocalEndpoint
		_ = json.NewDecoder(r.Body).Decode(&e.LocalAttach)
		if _, err := os.Stat(e.NetNS); err != nil {
			answer(w, 422, wire.LocalError{Error: err.Error()})
			return
		}
		e.NamespaceIP = netip.MustParseAddr("10.18.0.2")
		o.endpoints[e.InstanceKey] = e
		o.tell("attach")
		answer(w, 200, e)
	}))
	mux.HandleFunc("GET "+wire.PathLocalEndpoints, locked(func(w http.ResponseWriter, _ *http.Request) {
		list := []wire.LocalEndpoint{}
		for _, e := range o.endpoints {
			list = append(list, e)
		}
		answer(w, 200, list)
	}))
	mux.HandleFunc("DELETE "+wire.PathLocalEndpoint, locked(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("number"))
		var g wire.Generation
		if _, err := fmt.Sscanf(r.URL.Query().Get("generation"), "%d.%d", &g.Placement, &g.Move); err != nil {
			answer(w, 400, wire.LocalError{Error: "generation"})
			return
		}
		key := wire.InstanceKey{ServiceID: r.PathValue("id"), Number: n}
		if o.endpoints[key].Generation.Compare(g) <= 0 {
			delete(o.endpoints, key)
		}
		o.tell("detach")
		w.WriteHeader(http.StatusNoContent)
	}))
	return mux
}

func (o *overlay) tell(call string) {
	if o.changed != nil {
		o.changed(call)
	}
}

func (o *overlay) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.endpoints)
}
