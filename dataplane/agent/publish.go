// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/mqtt"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Times of publishing. The first change goes out at once; those that follow it within coalesce go out together.
const (
	coalesce       = 5 * time.Millisecond
	publishTimeout = 2 * time.Second
	publishRetry   = 250 * time.Millisecond
)

// publisher sends state to the cluster: always all of it, so that only the latest matters.
type publisher struct {
	a      *Agent
	signal chan struct{}

	mu            sync.Mutex
	wantEndpoints bool
	wantInterest  bool
}

func newPublisher(a *Agent) *publisher { return &publisher{a: a, signal: make(chan struct{}, 1)} }

// endpoints has the list of endpoints sent soon. It never blocks.
func (p *publisher) endpoints() { p.want(true, false) }

// interest has the interest sent soon, and the routes stored, whose snapshot holds it. It never blocks.
func (p *publisher) interest() {
	p.want(false, true)
	p.a.stored.routes()
}

// names has the interest sent soon, since other names are wanted. It never blocks.
func (p *publisher) names() { p.want(false, true) }

func (p *publisher) want(endpoints, interest bool) {
	p.mu.Lock()
	p.wantEndpoints = p.wantEndpoints || endpoints
	p.wantInterest = p.wantInterest || interest
	p.mu.Unlock()
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *publisher) take() (endpoints, interest bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	endpoints, interest = p.wantEndpoints, p.wantInterest
	p.wantEndpoints, p.wantInterest = false, false
	return endpoints, interest
}

func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.signal:
		}
		pause := coalesce
		endpoints, interest := p.take()
		if err := p.send(ctx, endpoints, interest); err != nil && !errors.Is(err, mqtt.ErrNotConnected) {
			// A new connection has everything sent; a failure on one that stands is repeated.
			p.a.log.Warn("cannot tell the cluster; trying again", "error", err)
			p.want(endpoints, interest)
			pause = publishRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (p *publisher) send(ctx context.Context, endpoints, interest bool) error {
	a := p.a
	s := a.session.Load()
	o := a.overlay.Load()
	a.known.Lock()
	id := a.identity
	a.known.Unlock()
	if s == nil || id == nil || !s.Connected() {
		return mqtt.ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if endpoints {
		m := a.endpointsMessage()
		m.RoundTrips = a.roundTrips()
		m.Header = wire.NewHeader(a.stamp())
		if err := publish(ctx, s, wire.Topic(id.WorkerID, wire.TopicNetEndpoints), m); err != nil {
			return err
		}
		a.toldTrips.Store(&m.RoundTrips)
	}
	if interest && o != nil {
		m := o.routes.Interest()
		if m.Addresses == nil {
			m.Addresses = []wire.InterestAddress{}
		}
		m.Names = a.names.Interest()
		m.Peers, m.PeerChanges, m.RouteChanges = o.peers.Held(), true, true
		m.Header = wire.NewHeader(a.stamp())
		return publish(ctx, s, wire.Topic(id.WorkerID, wire.TopicNetInterest), m)
	}
	return nil
}

// stamp is that of the next message. Revisions are counted over all topics: within each they only have to rise.
func (a *Agent) stamp() wire.Stamp {
	return wire.Stamp{Epoch: a.epoch, Revision: a.revision.Add(1)}
}

func (a *Agent) endpointsMessage() wire.NetEndpoints {
	m := wire.NetEndpoints{PublicKey: a.key.PublicKey().Bytes(), Outer: a.outer(), NAT: a.behind(), Endpoints: []wire.NetEndpoint{}}
	for _, e := range a.endpoints.List() {
		m.Endpoints = append(m.Endpoints, wire.NetEndpoint{
			InstanceKey: e.InstanceKey, Generation: e.Generation,
			NamespaceIP: e.NamespaceIP, NamespaceIPv6: e.NamespaceIPv6, Tag: e.Tag,
		})
	}
	return m
}

func publish(ctx context.Context, s *mqtt.Session, topic string, m any) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", topic, err)
	}
	return s.Publish(ctx, mqtt.Message{Topic: topic, Payload: payload})
}
