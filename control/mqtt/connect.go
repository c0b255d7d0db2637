// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// errClosed is the cause of an end that Close asked for.
var errClosed = errors.New("session closed")

// run connects again and again until the session is closed.
func (s *Session) run() {
	wait := firstBackOff
	for s.ctx.Err() == nil {
		began := time.Now()
		err := s.connectOnce()
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastBackOff {
			wait = firstBackOff
		}
		pause := wait/2 + rand.N(wait/2+1)
		s.log.Warn("no MQTT connection", "brokers", s.opts.Brokers, "error", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
		}
		wait = min(wait*2, lastBackOff)
	}
}

// connectOnce makes one connection, serves it to its end and returns why it ended. A paho client serves one connection
// only: its own reconnecting knows neither jitter nor a will that changes.
func (s *Session) connectOnce() error {
	ctx, end := context.WithCancelCause(s.ctx)
	defer end(errClosed)
	o, err := s.pahoOptions(ctx, end)
	if err != nil {
		return err
	}
	client := paho.NewClient(o)
	if err := wait(ctx, client.Connect()); err != nil {
		client.Disconnect(0)
		return fmt.Errorf("connect to the MQTT broker: %w", err)
	}
	defer client.Disconnect(250) // milliseconds
	defer s.setClient(nil, nil)
	if err := s.renewSubscriptions(ctx, client, end); err != nil {
		return err
	}
	s.log.Info("MQTT session is up")
	if s.opts.OnConnect != nil {
		s.opts.OnConnect(ctx, s)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *Session) setClient(c paho.Client, drop func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.drop = c, drop
}

func (s *Session) pahoOptions(ctx context.Context, end context.CancelCauseFunc) (*paho.ClientOptions, error) {
	o := paho.NewClientOptions().
		SetClientID(s.opts.ClientID).
		SetProtocolVersion(4). // MQTT 3.1.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetKeepAlive(KeepAlive).
		SetPingTimeout(KeepAlive).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(KeepAlive).
		SetConnectionLostHandler(func(_ paho.Client, err error) { end(fmt.Errorf("MQTT connection lost: %w", err)) }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			if !s.inbox.put(Message{Topic: m.Topic(), Payload: m.Payload(), Retain: m.Retained(), Arrived: time.Now()}) {
				end(errors.New("messages arrive faster than they are handled: starting over"))
			}
		})
	for _, b := range s.opts.Brokers {
		o.Servers = append(o.Servers, &url.URL{Scheme: "tcp", Host: b})
	}
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) { return s.open(ctx, u.Host) })
	will := s.opts.Will
	if s.opts.NextWill != nil {
		var err error
		if will, err = s.opts.NextWill(); err != nil {
			return nil, fmt.Errorf("prepare the MQTT last will: %w", err)
		}
	}
	if will != nil {
		if len(will.Payload) == 0 {
			return nil, fmt.Errorf("MQTT last will for %s has no payload: brokers refuse that", will.Topic)
		}
		o.SetBinaryWill(will.Topic, will.Payload, qos, will.Retain)
	}
	return o, nil
}

// open dials one broker; ctx aborts it, which paho's own dialling cannot.
func (s *Session) open(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := s.opts.Open
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	conn, err := dial(ctx, addr)
	if err != nil || s.opts.TLS == nil {
		return conn, err
	}
	conf := s.opts.TLS
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(addr) // checked by Dial
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}
