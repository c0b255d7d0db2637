// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Intervals of what is sent without a cause.
const (
	informationInterval = 2 * time.Second
	usageInterval       = 5 * time.Second
	// fullInterval bounds how long the cluster can be wrong about an instance after a message that it could not take in.
	fullInterval = 30 * time.Second
	// applyInterval is how often a desired state that could not be stored is tried again.
	applyInterval = 2 * time.Second
	// coalesce gathers changes of several instances, or of one in quick succession, into one message.
	coalesce = 5 * time.Millisecond
	// sendTimeout bounds one message; goodbyeTimeout the last word of a program that ends.
	sendTimeout    = 10 * time.Second
	goodbyeTimeout = 500 * time.Millisecond
)

// Agent is what the uplink speaks for.
type Agent interface {
	Apply(d wire.Desired) error
	Changes() <-chan struct{}
	TakeReport() (list []wire.WorkerInstance, full bool, applied wire.Stamp)
	WantFull()
	SampleUsage(ctx context.Context)
}

// Options are what an uplink works with.
type Options struct {
	WorkerID string
	Brokers  []string
	TLS      *tls.Config
	// StateDir keeps the session counter.
	StateDir string
	// Epoch stamps what is sent; raised at every start of the program.
	Epoch uint64
	Agent Agent
	// Information returns the worker's present information; its header is filled in here.
	Information func(ctx context.Context) (wire.Information, error)
	// Stream is called with each request for a stream, which it must not hold up; nil if there are none.
	Stream func(wire.StreamRequest)
	Log    *slog.Logger
}

// Uplink is a worker's conversation with its cluster.
type Uplink struct {
	opts    Options
	session *mqtt.Session
	alive   atomic.Uint64 // session number of the present connection
	hurry   chan struct{}
	instRev uint64 // of the topic instances; belongs to its sender
	// pending is the last desired state if it could not be stored, as on a full disk: the cluster does not send it again.
	pending atomic.Pointer[wire.Desired]
	refused atomic.Pointer[string]
}

// New returns an uplink; Run does the work.
func New(o Options) *Uplink { return &Uplink{opts: o, hurry: make(chan struct{}, 1)} }

// Connected reports whether the session is up.
func (u *Uplink) Connected() bool { return u.session != nil && u.session.Connected() }

// Hurry has information sent at once.
func (u *Uplink) Hurry() {
	select {
	case u.hurry <- struct{}{}:
	default:
	}
}

// Dial starts the session; it must be called once, before Run, which ends the session.
func (u *Uplink) Dial(ctx context.Context) error {
	// The session outlives ctx by the goodbye.
	s, err := mqtt.Dial(context.WithoutCancel(ctx), mqtt.Options{
		Brokers: u.opts.Brokers, ClientID: u.opts.WorkerID + "-engine", TLS: u.opts.TLS, Log: u.opts.Log,
		NextWill: u.nextWill, OnConnect: u.onConnect,
	})
	if err != nil {
		return fmt.Errorf("open session with the cluster: %w", err)
	}
	u.session = s
	if u.opts.Stream != nil {
		if err := s.ReceiveOptional(u.topic(wire.TopicStreams), u.onStream); err != nil {
			return err
		}
	}
	return s.Subscribe(u.topic(wire.TopicDesired), u.onDesired)
}

func (u *Uplink) topic(name string) string { return wire.Topic(u.opts.WorkerID, name) }

// nextWill numbers the session that is about to be opened, so that the will of an older one is told apart from it.
func (u *Uplink) nextWill() (*mqtt.Message, error) {
	n, err := statefile.RaiseCounter(filepath.Join(u.opts.StateDir, "session"))
	if err != nil {
		return nil, err
	}
	u.alive.Store(n)
	m, err := u.aliveMessage(false)
	return &m, err
}

func (u *Uplink) aliveMessage(present bool) (mqtt.Message, error) {
	data, err := json.Marshal(wire.Alive{Format: wire.Format, Session: u.alive.Load(), Present: present, At: time.Now()})
	return mqtt.Message{Topic: u.topic(wire.TopicAliveEngine), Payload: data, Retain: true}, err
}

func (u *Uplink) onConnect(ctx context.Context, s *mqtt.Session) {
	m, err := u.aliveMessage(true)
	if err == nil {
		err = s.Publish(ctx, m)
	}
	if err != nil {
		u.opts.Log.Warn("sign of life is not sent", "error", err)
	}
	u.Hurry()
	u.opts.Agent.WantFull()
}

// onDesired takes in what the cluster wants. What cannot be understood changes nothing.
func (u *Uplink) onDesired(_ string, payload []byte) {
	d, err := decodeDesired(payload)
	u.pending.Store(nil)
	if err == nil && d != nil {
		if err = u.opts.Agent.Apply(*d); err != nil {
			u.pending.Store(d)
		}
	}
	if err != nil {
		why := err.Error()
		u.refused.Store(&why)
		u.opts.Log.Error("desired state is refused, everything goes on as before", "error", err)
	} else if d != nil {
		u.refused.Store(nil)
	}
}

// onStream takes in a request for a stream. One that was kept by a broker is none of ours: they are never retained.
func (u *Uplink) onStream(m mqtt.Message) {
	var r wire.StreamRequest
	if err := json.Unmarshal(m.Payload, &r); err != nil || m.Retain || r.Format > wire.Format {
		u.opts.Log.Warn("request for a stream is refused", "retained", m.Retain, "format", r.Format, "error", err)
		return
	}
	u.opts.Stream(r)
}

// Refused says why the last desired state was not taken over, or returns "".
func (u *Uplink) Refused() string {
	if why := u.refused.Load(); why != nil {
		return *why
	}
	return ""
}

// decodeDesired returns nil for an empty payload, which says nothing: absence is never a command.
func decodeDesired(payload []byte) (*wire.Desired, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	var d wire.Desired
	if err := json.Unmarshal(payload, &d); err != nil {
		return nil, fmt.Errorf("decode desired state: %w", err)
	}
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("decode desired state: %w", err)
	}
	return &d, nil
}
