// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds of the broker. A message of 4 MiB holds some thousand instances; 2^14 workers have two clients each.
const (
	maxPacket  = 4 << 20
	maxClients = 1 << 15
	// maxWaiting is how many messages may wait to be written to one client. The queue is there at once, 8 bytes a place: it is most of what an
	// idle client takes. One that passes it is dropped, connects anew and is told everything.
	maxWaiting = 1 << 9
)

// qos is at least once, as on all topics.
const qos = 1

// Broker is an MQTT 3.1.1 broker in this process. Its methods may be used concurrently.
type Broker struct {
	server *mochi.Server
	log    *slog.Logger
	subs   atomic.Int32
}

// New returns a broker that nobody can reach yet. State published now is there for the first client.
func New(log *slog.Logger) (*Broker, error) {
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClients = maxClients
	caps.MaximumClientWritesPending = maxWaiting
	caps.MaximumPacketSize = maxPacket
	caps.MaximumMessageExpiryInterval = 0 // retained state never lapses
	caps.MaximumSessionExpiryInterval = 0
	caps.MaximumQos = qos
	caps.SharedSubAvailable = 0
	server := mochi.New(&mochi.Options{
		Capabilities:           caps,
		InlineClient:           true,
		Logger:                 slog.New(quiet{log.Handler()}),
		SysTopicResendInterval: 60,
	})
	if err := server.AddHook(&hook{log: log}, nil); err != nil {
		return nil, fmt.Errorf("set up broker: %w", err)
	}
	return &Broker{server: server, log: log}, nil
}

// Serve opens the broker to clients that come through ln. Each needs a certificate that verifies by conf.ClientCAs. It returns
// at once; Close ends it.
func (b *Broker) Serve(ln net.Listener, conf *tls.Config) error {
	conf = conf.Clone()
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	if err := b.server.AddListener(&listener{net: ln, tls: conf, log: b.log}); err != nil {
		return fmt.Errorf("open broker on %s: %w", ln.Addr(), err)
	}
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("open broker on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Publish sends payload to all who may read topic; a retained one also to those who subscribe later. It does not wait for
// them. The payload must not be changed afterwards.
func (b *Broker) Publish(topic string, payload []byte, retain bool) error {
	if err := b.server.Publish(topic, payload, retain, qos); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}

// Subscribe has h called with each message whose topic matches filter. It is called on the goroutine that reads the sender's
// connection: messages of one client come in order, and a slow handler holds up that client alone. Wills come on the
// goroutine of the client that ended.
func (b *Broker) Subscribe(filter string, h func(topic string, payload []byte)) error {
	err := b.server.Subscribe(filter, int(b.subs.Add(1)), func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		h(pk.TopicName, pk.Payload)
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return nil
}

// Disconnect ends both sessions of a worker; it may connect again.
func (b *Broker) Disconnect(worker string) {
	for _, suffix := range []string{SuffixEngine, SuffixNet} {
		if cl, ok := b.server.Clients.Get(worker + suffix); ok {
			cl.Stop(errors.New("ended by the cluster"))
		}
	}
}

// Close ends all clients and the listener.
func (b *Broker) Close() error {
	done := make(chan error, 1)
	go func() { done <- b.server.Close() }()
	deadline := time.NewTimer(closeTimeout)
	defer deadline.Stop()
	late := time.NewTicker(closeTimeout / 50)
	defer late.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("close broker: %w", err)
			}
			return nil
		case <-late.C:
			// A client that came in while the others were sent away would be waited for as long as it likes.
			for _, c := range b.server.Clients.GetAll() {
				if !c.Net.Inline {
					c.Stop(errClosing)
				}
			}
		case <-deadline.C:
			return fmt.Errorf("close broker: clients are still connected after %s", closeTimeout)
		}
	}
}

// closeTimeout bounds how long the end of the broker waits for its clients.
const closeTimeout = 5 * time.Second

var errClosing = errors.New("the broker is closing")

// quiet lets only errors of the MQTT library through: what else it says of each client, this package says itself.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && q.Handler.Enabled(ctx, l)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(n string) slog.Handler      { return quiet{q.Handler.WithGroup(n)} }
