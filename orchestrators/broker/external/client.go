// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what waits to be sent: lanes are sent side by side, all of a worker in one of them and so in order. A full lane ends
// the connection, upon which everything is said anew: better than to lose one message unnoticed.
const (
	lanes     = 32
	laneDepth = 4096
)

var errFull = errors.New("the broker takes messages more slowly than they come: starting over")

// Options say how to reach the broker.
type Options struct {
	// Brokers are HOST:PORT, tried in order.
	Brokers []string
	// TLS shows the certificate of [User] and verifies the broker's, see [TLS].
	TLS *tls.Config
	// OnConnect is called after each connect, once the subscriptions are granted, and before anything is sent.
	OnConnect func()
	Log       *slog.Logger
}

// Client is a session with an external broker, renewed whenever it is lost. Its methods may be used concurrently.
type Client struct {
	opts    Options
	log     *slog.Logger
	id      string
	session *mqtt.Session
	lanes   [lanes]chan mqtt.Message
	waiting atomic.Int64 // bytes of messages in lanes
	ended   context.Context
	end     context.CancelFunc
	sending sync.WaitGroup

	mu     sync.Mutex
	routes []route
}

type route struct {
	filter string
	handle func(topic string, payload []byte)
}

// New returns a client that is not connected yet.
func New(o Options) *Client {
	// Unique for each process: of two, the one whose database was taken over ends itself, and is not to end the other's session.
	c := &Client{opts: o, log: o.Log, id: User + "-" + strings.ToLower(rand.Text()[:8])}
	c.ended, c.end = context.WithCancel(context.Background())
	for i := range c.lanes {
		c.lanes[i] = make(chan mqtt.Message, laneDepth)
	}
	return c
}

// Subscribe has h called with each message whose topic matches filter; it has to be called before Open. Handlers run one after
// another. Retained messages come only of topics that are retained by rule: a broker cannot refuse the others by its access rules.
func (c *Client) Subscribe(filter string, h func(topic string, payload []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return fmt.Errorf("subscribe to %s: the session is open already", filter)
	}
	c.routes = append(c.routes, route{filter, h})
	return nil
}

// Open connects in the background, again and again, until Close.
func (c *Client) Open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	handlers := make(map[string]func(mqtt.Message), len(c.routes))
	for _, r := range c.routes {
		handlers[r.filter] = func(m mqtt.Message) {
			if m.Retain && !retained(m.Topic) {
				c.log.Warn("retained message ignored: only liveness and the cluster's own state are retained", "topic", m.Topic)
				return
			}
			r.handle(m.Topic, m.Payload)
		}
	}
	s, err := mqtt.Dial(c.ended, mqtt.Options{
		Brokers: c.opts.Brokers, ClientID: c.id, TLS: c.opts.TLS, Log: c.log, Handlers: handlers,
		OnConnect: func(context.Context, *mqtt.Session) {
			c.drain()
			c.opts.OnConnect()
		},
	})
	if err != nil {
		return fmt.Errorf("open session with the external broker: %w", err)
	}
	c.session = s
	for i := range c.lanes {
		c.sending.Go(func() { c.send(s, c.lanes[i]) })
	}
	return nil
}

// retained reports whether messages of a topic may be retained.
func retained(topic string) bool {
	_, name, _ := strings.Cut(strings.TrimPrefix(topic, "nodes/"), "/")
	switch name {
	case wire.TopicAliveEngine, wire.TopicAliveNet, wire.TopicDesired, wire.TopicNetNode:
		return true
	}
	return false
}

// Publish sends payload, in order with what was published before for the same worker, and does not wait for it. While there is
// no connection it does nothing: everything is said anew after the next connect. The payload must not be changed afterwards.
func (c *Client) Publish(topic string, payload []byte, retain bool) error {
	if !c.Connected() {
		return nil
	}
	c.waiting.Add(int64(len(payload)))
	select {
	case c.lanes[lane(topic)] <- mqtt.Message{Topic: topic, Payload: payload, Retain: retain}:
		return nil
	default:
	}
	c.waiting.Add(-int64(len(payload)))
	c.opened().Reconnect(errFull)
	return fmt.Errorf("publish %s: %w", topic, errFull)
}

// lane is the one of a worker's topics: nodes/ID/…
func lane(topic string) int {
	const levels = 3
	parts := strings.SplitN(topic, "/", levels)
	h := fnv.New32a()
	for _, p := range parts[:min(len(parts), levels-1)] {
		_, _ = h.Write([]byte(p))
	}
	return int(h.Sum32() % lanes)
}

func (c *Client) send(s *mqtt.Session, queue <-chan mqtt.Message) {
	for {
		select {
		case <-c.ended.Done():
			return
		case m := <-queue:
			err := s.Publish(c.ended, m)
			c.waiting.Add(-int64(len(m.Payload)))
			if err == nil || c.ended.Err() != nil || !s.Connected() {
				continue
			}
			c.log.Warn("message not sent; starting over", "topic", m.Topic, "error", err)
			s.Reconnect(err)
		}
	}
}

// drain forgets what waited for the connection before: all of it is said anew.
func (c *Client) drain() {
	for i := range c.lanes {
		for len(c.lanes[i]) > 0 {
			select {
			case m := <-c.lanes[i]:
				c.waiting.Add(-int64(len(m.Payload)))
			default:
			}
		}
	}
}

// Waiting returns how many bytes of messages the broker has not taken yet.
func (c *Client) Waiting() int64 { return c.waiting.Load() }

// opened returns the session, or nil before Open.
func (c *Client) opened() *mqtt.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Connected reports whether the broker can be spoken to.
func (c *Client) Connected() bool {
	s := c.opened()
	return s != nil && s.Connected()
}

// Close ends the session and waits for running handlers.
func (c *Client) Close() error {
	c.end()
	if s := c.opened(); s != nil {
		s.Close()
	}
	c.sending.Wait()
	return nil
}
