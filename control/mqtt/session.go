// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Session is a connection to a broker that is renewed whenever it is lost. Its methods may be used concurrently.
type Session struct {
	opts   Options
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	inbox inbox

	mu     sync.Mutex
	routes []route
	client paho.Client // nil while there is no connection
	drop   func(error) // ends the present connection; nil while there is none
}

// Dial starts a session and returns at once; it connects in the background until Close or until ctx ends.
func Dial(ctx context.Context, o Options) (*Session, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	s := &Session{opts: o, log: log.With("mqtt_client", o.ClientID)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	for filter, handle := range o.Handlers {
		s.routes = append(s.routes, route{filter: filter, handle: handle})
	}
	s.inbox.init()
	s.done.Go(func() { s.inbox.run(s.ctx, s.dispatch) })
	s.done.Go(s.run)
	return s, nil
}

// Connected reports whether the session is up and its subscriptions are granted.
func (s *Session) Connected() bool { return s.current() != nil }

func (s *Session) current() paho.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// Publish sends m and waits for the broker's acknowledgement or for ctx. It returns [ErrNotConnected] while there is no
// connection: nothing is queued, since OnConnect sends the state anew.
func (s *Session) Publish(ctx context.Context, m Message) error {
	c := s.current()
	if c == nil {
		return fmt.Errorf("publish %s: %w", m.Topic, ErrNotConnected)
	}
	if err := wait(ctx, c.Publish(m.Topic, qos, m.Retain, m.Payload)); err != nil {
		return fmt.Errorf("publish %s: %w", m.Topic, err)
	}
	return nil
}

// Reconnect ends the present connection, if there is one, for the given cause; the session connects anew.
func (s *Session) Reconnect(cause error) {
	s.mu.Lock()
	drop := s.drop
	s.mu.Unlock()
	if drop != nil {
		drop(cause)
	}
}

// Close ends the session with a DISCONNECT, so that the broker does not publish the will, and waits for running handlers. A
// program that wants its end known publishes it first. Close must not be called from a handler.
func (s *Session) Close() {
	s.cancel()
	s.done.Wait()
}

// wait returns when the broker has acknowledged, ctx ends or the time-out passes.
func wait(ctx context.Context, t paho.Token) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ackTimeout, errors.New("the broker did not acknowledge in time"))
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
