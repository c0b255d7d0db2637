// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Times of a session. KeepAlive bounds how long a peer that vanished without a word stays unnoticed: a broker sends the last
// will after one and a half of it.
const (
	KeepAlive      = 5 * time.Second
	connectTimeout = 5 * time.Second
	ackTimeout     = 10 * time.Second
	firstBackOff   = 100 * time.Millisecond
	lastBackOff    = 5 * time.Second
)

// Bounds of what has arrived and waits for its handler. A session that passes one is dropped and connects anew, after which
// the other side sends its state again: better than to lose a message unnoticed.
const (
	maxQueued      = 16384
	maxQueuedBytes = 64 << 20
)

// qos is at least once: every message carries state, so a second copy does no harm.
const qos = 1

// ErrNotConnected is returned by [Session.Publish] while there is no connection.
var ErrNotConnected = errors.New("not connected to the MQTT broker")

// Message is what is published under a topic.
type Message struct {
	Topic   string
	Payload []byte
	// Retain has the broker keep the message for later subscribers.
	Retain bool
	// Arrived is when a received message came off the connection; a message to publish has none.
	Arrived time.Time
}

// Options say how a session connects.
type Options struct {
	// Brokers are HOST:PORT, tried in order at each attempt.
	Brokers []string
	// ClientID is unique at the broker: a second session with it ends the first.
	ClientID string
	// TLS is nil for a plain connection.
	TLS *tls.Config
	// Open, if not nil, opens the TCP connection to HOST:PORT in place of a plain dial, such as by who wants to cut it.
	Open func(ctx context.Context, addr string) (net.Conn, error)
	// Will is what the broker publishes if the session ends without [Session.Close]. Its payload must not be empty: brokers
	// refuse that.
	Will *Message
	// NextWill, if not nil, is called before each attempt to connect and takes the place of Will, so that a will can name its
	// session. An error fails the attempt.
	NextWill func() (*Message, error)
	// Handlers are subscriptions by filter that hold from the first connect on, as if made by [Session.Receive] before it.
	Handlers map[string]func(Message)
	// OnConnect runs after every connect, once the subscriptions are granted; ctx ends with the connection. It may publish
	// and subscribe. Handlers may run at the same time.
	OnConnect func(ctx context.Context, s *Session)
	// Log is nil for the default logger.
	Log *slog.Logger
}

// check returns an error for options that can never connect.
func (o *Options) check() error {
	if len(o.Brokers) == 0 {
		return errors.New("no MQTT broker is given: name at least one as HOST:PORT")
	}
	for _, b := range o.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("MQTT broker %q is not HOST:PORT: %w", b, err)
		}
	}
	if o.ClientID == "" {
		return errors.New("no MQTT client id is given")
	}
	return nil
}
