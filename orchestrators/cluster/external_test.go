// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external"
	"github.com/oakestra/oakestra-ebpf/orchestrators/broker/external/mosquittotest"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// newBedWithMosquitto is a bed with an external broker.
func newBedWithMosquitto(t *testing.T, lost time.Duration) (*bed, *mosquittotest.Server) {
	t.Helper()
	b := makeBed(t, pgtest.New(t))
	s := mosquittotest.Start(t, b.ca)
	b.brokers, b.lost = []string{s.Addr}, lost
	b.start()
	t.Cleanup(func() { b.halt() })
	b.ready()
	return b, s
}

// mosquittoHolds retains a message in the broker as the cluster itself would.
func (b *bed) mosquittoHolds(topic string, message any) {
	b.t.Helper()
	conf, err := external.TLS(b.ca)
	require.NoError(b.t, err)
	s, err := mqtt.Dial(b.t.Context(), mqtt.Options{Brokers: b.brokers, ClientID: "former-life", TLS: conf, Log: quietLog()})
	require.NoError(b.t, err)
	defer s.Close()
	eventually(b.t, "the former life connects", s.Connected)
	payload, err := json.Marshal(message)
	require.NoError(b.t, err)
	require.NoError(b.t, s.Publish(b.t.Context(), mqtt.Message{Topic: topic, Payload: payload, Retain: true}))
}

func TestExternalBroker(t *testing.T) {
	b, s := newBedWithMosquitto(t, 0)
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1, 2, 3)
	eventually(t, "running", b.root.sees([]int{0, 1, 2, 3}, wire.StateRunning))
	w1.want(serviceIP)
	eventually(t, "routes", w1.hasRoutes(0, 1, 2, 3))

	// All that the broker retained is lost with it. What became wanted meanwhile is placed, and nothing stops.
	s.Kill()
	s.Forget()
	b.root.want(1, 4)
	s.Resume()
	eventually(t, "what became wanted meanwhile", b.root.sees([]int{0, 1, 2, 3, 4}, wire.StateRunning))
	eventually(t, "routes to it", w1.hasRoutes(0, 1, 2, 3, 4))

	// States that workers told while the cluster was away are told again, though they have been connected all along.
	b.halt()
	b.start()
	b.ready()
	b.root.want(1, 5)
	eventually(t, "running after the cluster's restart", b.root.sees([]int{0, 1, 2, 3, 4, 5}, wire.StateRunning))
	b.root.remove(5)
	eventually(t, "stopped", func() bool {
		w1.mu.Lock()
		defer w1.mu.Unlock()
		w2.mu.Lock()
		defer w2.mu.Unlock()
		return w1.stopped+w2.stopped == 1
	})
	require.Equal(t, 6, w1.starts+w2.starts)
}

// A broker that was away for longer than lost_after has made no worker lost.
func TestNobodyIsLostWhileTheBrokerIsAway(t *testing.T) {
	b, s := newBedWithMosquitto(t, minLostAfter)
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1, 2, 3)
	eventually(t, "running", b.root.sees([]int{0, 1, 2, 3}, wire.StateRunning))
	s.Kill()
	time.Sleep(minLostAfter + 8*time.Second) // and what it takes to be silent: the time is what this is about
	s.Resume()
	b.root.want(1, 4)
	eventually(t, "goes on", b.root.sees([]int{0, 1, 2, 3, 4}, wire.StateRunning))
	require.Equal(t, 5, w1.starts+w2.starts)
	require.Zero(t, w1.stopped+w2.stopped)
}

// A broker that is started with a former life's retained state does not stop or start anything, whichever epoch that state has.
func TestFormerLifeOfTheBrokerIsOverruled(t *testing.T) {
	b, s := newBedWithMosquitto(t, 0)
	w := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	for _, epoch := range []uint64{7, uint64(time.Now().Add(time.Hour).UnixMilli())} {
		s.Kill()
		s.Forget()
		s.Resume()
		old := wire.Desired{Header: wire.NewHeader(wire.Stamp{Epoch: epoch, Revision: 1 << 40}), Instances: []wire.DesiredInstance{}, Tombstones: []wire.Tombstone{}}
		b.mosquittoHolds(wire.Topic(w.id, wire.TopicDesired), old)
		b.mosquittoHolds(wire.Topic(w.id, wire.TopicAliveEngine), wire.Alive{Format: wire.Format, Session: 1, At: time.Now()})
		eventually(t, "the cluster's own state is on top", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.applied.Epoch == b.epoch() && w.applied.Epoch != epoch && w.claimed[key(0)]
		})
	}
	b.root.want(1, 1)
	eventually(t, "goes on", b.root.sees([]int{0, 1}, wire.StateRunning))
	require.Equal(t, 2, w.starts)
	require.Zero(t, w.stopped)
}

// epoch is the one in the cluster's database.
func (b *bed) epoch() (epoch uint64) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), `SELECT value FROM epoch`).Scan(&epoch))
	return epoch
}
