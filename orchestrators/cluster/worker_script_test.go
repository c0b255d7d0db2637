// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker"
)

// scriptedWorker does what NodeEngine and NetManager say over real MQTT: it runs at once what it is told to run, stops what has a
// tombstone, and attaches what runs.
type scriptedWorker struct {
	t       *testing.T
	id      string
	engine  *mqtt.Session
	net     *mqtt.Session
	overlay *ecdh.PrivateKey
	tls     *tls.Config // with the certificate of its engine
	started int64

	mu       sync.Mutex
	rev      uint64
	session  uint64
	applied  wire.Stamp
	claimed  map[wire.InstanceKey]bool
	running  map[wire.InstanceKey]wire.DesiredInstance
	stopped  int
	starts   int
	node     wire.NetNode
	cpu      float64        // percent, of the machine
	at       *wire.Location // nil: it does not say
	interest []netip.Addr
	ready    *bool // the verdict on whatever runs
	fails    bool  // whatever it is told to run ends again and again
	begun    map[wire.InstanceKey]int
	routes   map[string]wire.NetRoutes
	peers    wire.NetPeers
	resolved map[netip.Addr]wire.Resolution
	log      []string // names of topics, in the order in which they arrived
}

func (b *bed) worker(name string) *scriptedWorker {
	b.t.Helper()
	key, err := pki.NewKey()
	require.NoError(b.t, err)
	resp, status, body := b.postJoin(b.workerToken(), name, key)
	require.Equal(b.t, http.StatusOK, status, body)
	overlay, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(b.t, err)
	w := &scriptedWorker{t: b.t, id: resp.ID, overlay: overlay, started: time.Now().UnixNano(), claimed: map[wire.InstanceKey]bool{},
		running: map[wire.InstanceKey]wire.DesiredInstance{}, routes: map[string]wire.NetRoutes{}, resolved: map[netip.Addr]wire.Resolution{}}
	conf := clientTLS(b.t, resp.Certificate, string(key), resp.CA)
	w.tls = conf
	dial := func(suffix, alive string, connected func(context.Context, *mqtt.Session)) *mqtt.Session {
		var session uint64
		s, err := mqtt.Dial(b.t.Context(), mqtt.Options{Brokers: []string{b.mqtt}, ClientID: w.id + suffix, TLS: conf, Log: quietLog(),
			NextWill: func() (*mqtt.Message, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.session++
				session = w.session
				return &mqtt.Message{Topic: wire.Topic(w.id, alive), Payload: aliveMessage(session, false), Retain: true}, nil
			},
			OnConnect: func(ctx context.Context, s *mqtt.Session) {
				_ = s.Publish(ctx, mqtt.Message{Topic: wire.Topic(w.id, alive), Payload: aliveMessage(session, true), Retain: true})
				connected(ctx, s)
			}})
		require.NoError(b.t, err)
		b.t.Cleanup(s.Close)
		return s
	}
	w.engine = dial(broker.SuffixEngine, wire.TopicAliveEngine, w.engineConnected)
	require.NoError(b.t, w.engine.Subscribe(wire.Topic(w.id, wire.TopicDesired), w.onDesired))
	w.net = dial(broker.SuffixNet, wire.TopicAliveNet, w.netConnected)
	for name, handle := range map[string]func(string, []byte){
		wire.TopicNetNode: w.onNode, wire.TopicNetPeers: w.onPeers, wire.TopicNetRoutes + "+": w.onRoutes, wire.TopicNetResolved: w.onResolved} {
		require.NoError(b.t, w.net.Subscribe(wire.Topic(w.id, name), handle))
	}
	go func() {
		for tick := time.NewTicker(time.Second); b.t.Context().Err() == nil; <-tick.C {
			if w.engine.Connected() {
				w.info(b.t.Context(), w.engine)
			}
		}
	}()
	eventually(b.t, name+" connects", func() bool { return w.engine.Connected() && w.net.Connected() })
	return w
}

func aliveMessage(session uint64, present bool) []byte {
	b, _ := json.Marshal(wire.Alive{Format: wire.Format, Session: session, Present: present, At: time.Now()})
	return b
}

// leave says that NodeEngine goes, and goes.
func (w *scriptedWorker) leave() {
	w.mu.Lock()
	session := w.session
	w.mu.Unlock()
	_ = w.engine.Publish(w.t.Context(), mqtt.Message{Topic: wire.Topic(w.id, wire.TopicAliveEngine), Payload: aliveMessage(session, false), Retain: true})
	w.engine.Close()
}

// header stamps the next message. Callers hold mu.
func (w *scriptedWorker) header() wire.Header {
	w.rev++
	return wire.NewHeader(wire.Stamp{Epoch: uint64(w.started), Revision: w.rev})
}

func (w *scriptedWorker) send(ctx context.Context, s *mqtt.Session, name string, m any) {
	b, _ := json.Marshal(m)
	_ = s.Publish(ctx, mqtt.Message{Topic: wire.Topic(w.id, name), Payload: b})
}

func (w *scriptedWorker) engineConnected(ctx context.Context, s *mqtt.Session) {
	w.info(ctx, s)
	w.tell(ctx, s, true)
}

func (w *scriptedWorker) info(ctx context.Context, s *mqtt.Session) {
	w.mu.Lock()
	info := wire.Information{Header: w.header(), Name: w.id, Architecture: "amd64", Runtimes: []string{"container"}, Overlay: true,
		Capacity: wire.Slot{VCPUs: 8, MemoryMB: 8192, StorageMB: 8192}, CPUPercent: w.cpu, Location: w.at}
	w.mu.Unlock()
	w.send(ctx, s, wire.TopicInformation, info)
}

// tell reports all instances.
func (w *scriptedWorker) tell(ctx context.Context, s *mqtt.Session, full bool, gone ...wire.Tombstone) {
	w.mu.Lock()
	m := wire.Instances{Header: w.header(), Full: full, Applied: w.applied, Instances: []wire.WorkerInstance{}}
	for k, i := range w.running {
		wi := wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: k, Generation: i.Generation, State: wire.StateRunning, Ready: w.ready, Since: time.Now()}}
		if w.fails {
			wi.State, wi.Detail, wi.Elsewhere = wire.StateFailed, "ended with code 1, again", true
		}
		if !w.claimed[k] {
			spec := i.Spec
			wi.Unclaimed, wi.Spec = true, &spec
		}
		m.Instances = append(m.Instances, wi)
	}
	for _, t := range gone {
		m.Instances = append(m.Instances, wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: t.InstanceKey,
			Generation: t.Generation, State: wire.StateUndeployed, Since: time.Now()}})
	}
	w.mu.Unlock()
	w.send(ctx, s, wire.TopicInstances, m)
}

func (w *scriptedWorker) onDesired(_ string, payload []byte) {
	var d wire.Desired
	if json.Unmarshal(payload, &d) != nil {
		return
	}
	w.mu.Lock()
	if w.applied.After(d.Stamp) {
		w.mu.Unlock()
		return
	}
	w.applied = d.Stamp
	w.claimed = map[wire.InstanceKey]bool{}
	for _, t := range d.Tombstones {
		if i, ok := w.running[t.InstanceKey]; ok && i.Generation.Compare(t.Generation) <= 0 {
			delete(w.running, t.InstanceKey)
			w.stopped++
		}
	}
	for _, i := range d.Instances {
		w.claimed[i.InstanceKey] = true
		if have, ok := w.running[i.InstanceKey]; !ok || i.Generation.Compare(have.Generation) > 0 {
			w.running[i.InstanceKey] = i
			w.starts++
			if w.begun == nil {
				w.begun = map[wire.InstanceKey]int{}
			}
			w.begun[i.InstanceKey]++
		}
	}
	w.mu.Unlock()
	w.tell(w.t.Context(), w.engine, false, d.Tombstones...)
	w.attach(w.t.Context(), w.net)
}

// attach tells the endpoints of what runs.
func (w *scriptedWorker) attach(ctx context.Context, s *mqtt.Session) {
	w.mu.Lock()
	if len(w.node.Subnets) == 0 {
		w.mu.Unlock()
		return
	}
	m := wire.NetEndpoints{Header: w.header(), PublicKey: w.overlay.PublicKey().Bytes(), Outer: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:50103")},
		Endpoints: []wire.NetEndpoint{}}
	for k, i := range w.running {
		ip := w.node.Subnets[0].Addr().As4()
		ip[3] += byte(10 + k.Number)
		m.Endpoints = append(m.Endpoints, wire.NetEndpoint{InstanceKey: k, Generation: i.Generation, NamespaceIP: netip.AddrFrom4(ip), Tag: uint32(1 + k.Number)})
	}
	w.mu.Unlock()
	w.send(ctx, s, wire.TopicNetEndpoints, m)
}

func (w *scriptedWorker) netConnected(ctx context.Context, s *mqtt.Session) {
	w.attach(ctx, s)
	w.declare(ctx, s)
}

// want declares interest.
func (w *scriptedWorker) want(addresses ...netip.Addr) {
	w.mu.Lock()
	w.interest = addresses
	w.mu.Unlock()
	w.declare(w.t.Context(), w.net)
}

func (w *scriptedWorker) declare(ctx context.Context, s *mqtt.Session) {
	w.mu.Lock()
	m := wire.NetInterest{Header: w.header(), Addresses: []wire.InterestAddress{}, Peers: w.peers.Stamp}
	for _, a := range w.interest {
		m.Addresses = append(m.Addresses, wire.InterestAddress{Address: a})
	}
	w.mu.Unlock()
	w.send(ctx, s, wire.TopicNetInterest, m)
}

func (w *scriptedWorker) onNode(_ string, p []byte) {
	w.mu.Lock()
	_ = json.Unmarshal(p, &w.node)
	w.mu.Unlock()
	w.attach(w.t.Context(), w.net)
}

func (w *scriptedWorker) onPeers(_ string, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, "peers")
	var m wire.NetPeers
	if json.Unmarshal(p, &m) == nil && m.After(w.peers.Stamp) {
		w.peers = m
	}
}

func (w *scriptedWorker) onRoutes(topic string, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, "routes")
	var m wire.NetRoutes
	id := topic[strings.LastIndexByte(topic, '/')+1:]
	if json.Unmarshal(p, &m) == nil && m.After(w.routes[id].Stamp) {
		w.routes[id] = m
	}
}

func (w *scriptedWorker) onResolved(_ string, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, "resolved")
	var m wire.NetResolved
	if json.Unmarshal(p, &m) == nil {
		for _, e := range m.Entries {
			w.resolved[e.Address] = e.Resolution
		}
	}
}

// runs shows what runs, as "number generation".
func (w *scriptedWorker) runs() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]bool{}
	for k, i := range w.running {
		all[fmt.Sprint(k.Number, " ", i.Generation)] = true
	}
	return all
}

// hasRoutes says whether the worker was told these instances of the service.
func (w *scriptedWorker) hasRoutes(numbers ...int) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		m := w.routes[key(0).ServiceID]
		if len(m.Instances) != len(numbers) {
			return false
		}
		for i, n := range numbers {
			if m.Instances[i].Number != n {
				return false
			}
		}
		return true
	}
}
