// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// farewell bounds how long the end of a session may take.
const farewell = time.Second

// dialSession replaces the session; sessions is held. The session outlives ctx: it ends with [Agent.endSession].
func (a *Agent) dialSession(ctx context.Context, id wire.LocalIdentity) error {
	tls, err := pki.ClientTLS([]byte(id.Certificate), []byte(id.Key), []byte(id.CA))
	if err != nil {
		return fmt.Errorf("use the stored identity: %w", err)
	}
	if old := a.session.Swap(nil); old != nil {
		old.Close()
	}
	topic := wire.Topic(id.WorkerID, wire.TopicAliveNet)
	s, err := mqtt.Dial(context.WithoutCancel(ctx), mqtt.Options{
		Brokers:  id.Brokers,
		ClientID: id.WorkerID + "-net",
		TLS:      tls,
		NextWill: func() (*mqtt.Message, error) {
			// The number is raised on disk before each attempt, so that a `gone` of an older session is known for one.
			if _, err := a.state.raise(sessionFile, time.Now()); err != nil {
				return nil, err
			}
			return a.alive(topic, false)
		},
		OnConnect: func(ctx context.Context, s *mqtt.Session) {
			m, err := a.alive(topic, true)
			if err == nil {
				err = s.Publish(ctx, *m)
			}
			if err != nil {
				a.log.Warn("cannot tell the cluster that NetManager is here", "error", err)
			}
			a.publish.endpoints()
			a.publish.interest()
		},
		Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open the MQTT session: %w", err)
	}
	for name, handle := range map[string]func(context.Context, []byte) error{
		wire.TopicNetNode:         a.onNode,
		wire.TopicNetPeers:        a.onPeers,
		wire.TopicNetRoutes + "+": a.onRoutes,
		wire.TopicNetResolved:     a.onResolved,
	} {
		err := s.Receive(wire.Topic(id.WorkerID, name), func(m mqtt.Message) {
			if len(m.Payload) == 0 {
				return // a retained message that was cleared: absence is no command
			}
			if err := handle(context.WithoutCancel(ctx), m.Payload); err != nil {
				a.metrics.MessageRefused()
				text := fmt.Sprintf("cannot apply %s: %v", m.Topic, err)
				a.problem.Store(&text)
				a.log.Warn("cannot apply what the cluster says", "topic", m.Topic, "error", err)
				return
			}
			if name == wire.TopicNetRoutes+"+" {
				a.metrics.RouteApplied(time.Since(m.Arrived))
			}
		})
		if err != nil { // it is renewed at the next connect
			a.log.Warn("cannot hear the cluster yet", "error", err)
		}
	}
	a.session.Store(s)
	// The session may have connected before it was known here.
	a.publish.endpoints()
	a.publish.interest()
	return nil
}

// alive is the message that says whether NetManager is here, in the session that was raised last.
func (a *Agent) alive(topic string, present bool) (*mqtt.Message, error) {
	var session uint64
	if _, err := a.state.read(sessionFile, &session); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(wire.Alive{Format: wire.Format, Session: session, Present: present, At: time.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", topic, err)
	}
	return &mqtt.Message{Topic: topic, Payload: payload, Retain: true}, nil
}

// endSession says farewell: the broker publishes no will after that.
func (a *Agent) endSession() {
	a.sessions.Lock()
	defer a.sessions.Unlock()
	s := a.session.Swap(nil)
	if s == nil {
		return
	}
	if s.Connected() {
		a.known.Lock()
		id := a.identity.WorkerID
		a.known.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		m, err := a.alive(wire.Topic(id, wire.TopicAliveNet), false)
		if err == nil {
			err = s.Publish(ctx, *m)
		}
		if err != nil {
			a.log.Debug("cannot tell the cluster that NetManager goes", "error", err)
		}
	}
	s.Close()
}
