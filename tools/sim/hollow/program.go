// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Traffic counts the bytes of connections, TLS included. It may be shared.
type Traffic struct {
	// In is what workers have received, Out what they have sent.
	In, Out atomic.Int64
	// Missed counts the changes of routes that came to one who did not hold what they are changes of.
	Missed atomic.Int64
}

var errAway = errors.New("the worker is cut off")

// program is one of the two programs of a worker: its session, and what it takes to lose it.
type program struct {
	suffix, alive string
	tls           *tls.Config
	connected     func()

	session *mqtt.Session
	number  atomic.Uint64 // of the session

	mu   sync.Mutex
	away bool
	conn net.Conn
}

func (p *program) dial(ctx context.Context, w *Worker) (err error) {
	p.session, err = mqtt.Dial(ctx, mqtt.Options{
		Brokers: w.id.brokers, ClientID: w.id.id + p.suffix, TLS: p.tls, Log: slog.New(slog.DiscardHandler),
		Open: func(ctx context.Context, addr string) (net.Conn, error) { return p.open(ctx, addr, w.opts.Traffic) },
		NextWill: func() (*mqtt.Message, error) {
			p.number.Add(1)
			m := p.aliveMessage(w.id.id, false)
			return &m, nil
		},
		OnConnect: func(ctx context.Context, s *mqtt.Session) {
			if err := s.Publish(ctx, p.aliveMessage(w.id.id, true)); err != nil {
				w.log.Debug("sign of life is not sent", "worker", w.opts.Name, "error", err)
			}
			p.connected()
		},
	})
	return err
}

func (p *program) aliveMessage(worker string, present bool) mqtt.Message {
	// The type holds nothing that cannot be written.
	payload, _ := json.Marshal(wire.Alive{Format: wire.Format, Session: p.number.Load(), Present: present, At: time.Now()})
	return mqtt.Message{Topic: wire.Topic(worker, p.alive), Payload: payload, Retain: true}
}

func (p *program) open(ctx context.Context, addr string, t *Traffic) (net.Conn, error) {
	p.mu.Lock()
	away := p.away
	p.mu.Unlock()
	if away {
		return nil, errAway
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		_ = conn.Close()
		return nil, errAway
	}
	p.conn = counted{conn, t}
	return p.conn, nil
}

// cut drops the connection and keeps others from being made, or lets them be made again.
func (p *program) cut(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
	if away && p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// counted is a connection whose bytes are counted.
type counted struct {
	net.Conn
	t *Traffic
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.t.In.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.t.Out.Add(int64(n))
	return n, err
}
