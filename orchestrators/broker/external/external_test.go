// SPDX-License-Identifier: Apache-2.0

package external_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external/mosquittotest"
	"github.com/oakestra/oakestra-ebpf/orchestrators/identity"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

const (
	me    = "aaaaaaaaaaaaaaaaaaaaaaaa"
	other = "bbbbbbbbbbbbbbbbbbbbbbbb"
)

var quiet = slog.New(slog.DiscardHandler)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 15*time.Second, 5*time.Millisecond, what)
}

func authority(t *testing.T) *identity.CA {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), nil, quiet)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ca, err := identity.LoadCA(t.Context(), pool)
	require.NoError(t, err)
	return ca
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
	return append([]string{}, b.msgs...)
}

// worker opens a session as a worker, with a certificate of the authority.
func worker(t *testing.T, ca *identity.CA, addr, cn, clientID string) *mqtt.Session {
	t.Helper()
	key, err := pki.NewKey()
	require.NoError(t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	cert, err := ca.SignClient(csr, cn, "worker", time.Hour)
	require.NoError(t, err)
	conf, err := pki.ClientTLS(cert, key, ca.CertPEM())
	require.NoError(t, err)
	return dial(t, addr, clientID, conf)
}

func dial(t *testing.T, addr, clientID string, conf *tls.Config) *mqtt.Session {
	t.Helper()
	s, err := mqtt.Dial(t.Context(), mqtt.Options{Brokers: []string{addr}, ClientID: clientID, TLS: conf, Log: quiet})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// cluster opens the cluster's own session; connects counts its connects.
func cluster(t *testing.T, ca *identity.CA, addr string, up *box) (c *external.Client, connects *atomic.Int32) {
	t.Helper()
	conf, err := external.TLS(ca)
	require.NoError(t, err)
	connects = new(atomic.Int32)
	c = external.New(external.Options{Brokers: []string{addr}, TLS: conf, Log: quiet, OnConnect: func() { connects.Add(1) }})
	for _, name := range []string{wire.TopicInstances, wire.TopicAliveEngine, wire.TopicDesired} {
		require.NoError(t, c.Subscribe(wire.Topic("+", name), up.put))
	}
	require.NoError(t, c.Open())
	t.Cleanup(func() { _ = c.Close() })
	eventually(t, "the cluster connects", func() bool { return connects.Load() > 0 })
	return c, connects
}

func TestWorkersReadAndWriteTheirOwnAlone(t *testing.T) {
	ca := authority(t)
	s := mosquittotest.Start(t, ca)
	var up, mine, theirs box
	c, _ := cluster(t, ca, s.Addr, &up)
	w := worker(t, ca, s.Addr, me, me+"-engine")
	spy := worker(t, ca, s.Addr, other, other+"-engine")
	require.NoError(t, w.Subscribe(wire.Topic(me, wire.TopicDesired), mine.put))
	eventually(t, "workers connect", func() bool { return w.Connected() && spy.Connected() })
	for _, filter := range []string{"nodes/#", "#", wire.Topic(me, wire.TopicDesired), wire.Topic(me, wire.TopicInstances)} {
		_ = spy.Subscribe(filter, func(topic string, payload []byte) {
			theirs.put(topic, payload) // mosquitto grants the filter and then delivers nothing of it
		})
	}
	require.NoError(t, c.Publish(wire.Topic(me, wire.TopicDesired), []byte("for me"), true))
	eventually(t, "down", func() bool { return len(mine.all()) == 1 })
	require.NoError(t, w.Publish(t.Context(), mqtt.Message{Topic: wire.Topic(me, wire.TopicInstances), Payload: []byte("of mine")}))
	// What is not its own is dropped by the broker; what follows shows that it was read.
	for _, topic := range []string{wire.Topic(me, wire.TopicInstances), wire.Topic(me, wire.TopicDesired), wire.Topic(other, wire.TopicDesired)} {
		require.NoError(t, spy.Publish(t.Context(), mqtt.Message{Topic: topic, Payload: []byte("forged")}))
	}
	require.NoError(t, spy.Publish(t.Context(), mqtt.Message{Topic: wire.Topic(other, wire.TopicInstances), Payload: []byte("own")}))
	eventually(t, "up", func() bool { return len(up.all()) == 3 })
	require.ElementsMatch(t, []string{wire.Topic(me, wire.TopicDesired) + " for me", wire.Topic(me, wire.TopicInstances) + " of mine",
		wire.Topic(other, wire.TopicInstances) + " own"}, up.all())
	require.Len(t, mine.all(), 1)
	require.Empty(t, theirs.all())
}

func TestStrangersAreNotLetIn(t *testing.T) {
	ca, foreign := authority(t), authority(t)
	s := mosquittotest.Start(t, ca)
	key, err := pki.NewKey()
	require.NoError(t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	cert, err := foreign.SignClient(csr, external.User, "", time.Hour)
	require.NoError(t, err)
	forged, err := pki.ClientTLS(cert, key, ca.CertPEM())
	require.NoError(t, err)
	bare := forged.Clone()
	bare.Certificates = nil
	for _, conf := range []*tls.Config{nil, bare, forged} {
		stranger := dial(t, s.Addr, "stranger", conf)
		require.Never(t, stranger.Connected, 300*time.Millisecond, 10*time.Millisecond)
	}
	eventually(t, "others are let in", worker(t, ca, s.Addr, me, me+"-engine").Connected)
}

// A broker's access rules cannot keep a worker from retaining a message; one of a former life must not pass for news.
func TestRetainedStatesOfFormerLivesAreIgnored(t *testing.T) {
	ca := authority(t)
	s := mosquittotest.Start(t, ca)
	w := worker(t, ca, s.Addr, me, me+"-engine")
	eventually(t, "the worker connects", w.Connected)
	for _, name := range []string{wire.TopicInstances, wire.TopicAliveEngine} {
		require.NoError(t, w.Publish(t.Context(), mqtt.Message{Topic: wire.Topic(me, name), Payload: []byte("old"), Retain: true}))
	}
	s.End() // stores them
	s.Resume()
	var up box
	cluster(t, ca, s.Addr, &up)
	eventually(t, "the worker connects again", w.Connected)
	require.NoError(t, w.Publish(t.Context(), mqtt.Message{Topic: wire.Topic(me, wire.TopicInstances), Payload: []byte("new")}))
	eventually(t, "news", func() bool { return len(up.all()) >= 2 })
	require.ElementsMatch(t, []string{wire.Topic(me, wire.TopicAliveEngine) + " old", wire.Topic(me, wire.TopicInstances) + " new"}, up.all())
}

// Who publishes faster than the broker takes does not lose a message in the middle: all come, or it connects anew.
func TestBurstIsDeliveredInOrderOrBegunAnew(t *testing.T) {
	const n = 20000
	ca := authority(t)
	s := mosquittotest.Start(t, ca)
	var up, down box
	c, connects := cluster(t, ca, s.Addr, &up)
	w := worker(t, ca, s.Addr, me, me+"-net")
	require.NoError(t, w.Subscribe(wire.Topic(me, wire.TopicNetPeers), down.put))
	eventually(t, "the worker connects", w.Connected)
	sent := 0
	for i := range n {
		if c.Publish(wire.Topic(me, wire.TopicNetPeers), fmt.Append(nil, i), false) != nil {
			break
		}
		sent++
	}
	if sent == n {
		eventually(t, "all of them", func() bool { return len(down.all()) == n })
	} else {
		eventually(t, "a new connection", func() bool { return connects.Load() > 1 && c.Connected() })
	}
	for i, m := range down.all() {
		require.Equal(t, fmt.Sprintf("%s %d", wire.Topic(me, wire.TopicNetPeers), i), m)
	}
}

func TestComesBackAfterTheBroker(t *testing.T) {
	ca := authority(t)
	s := mosquittotest.Start(t, ca)
	var up box
	c, connects := cluster(t, ca, s.Addr, &up)
	s.Kill()
	eventually(t, "noticed", func() bool { return !c.Connected() })
	require.NoError(t, c.Publish(wire.Topic(me, wire.TopicDesired), []byte("said anew later"), true))
	s.Resume()
	eventually(t, "connected again", func() bool { return connects.Load() == 2 && c.Connected() })
}
