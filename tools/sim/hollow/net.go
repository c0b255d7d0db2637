// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// outer is where hellos would find a hollow worker: an address of documentation, since nobody is there.
var outer = netip.MustParseAddrPort("192.0.2.1:50103")

// runNet sends what NetManager sends: always all of it, the first change at once.
func (w *Worker) runNet(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.say:
		}
		if !w.net.session.Connected() {
			continue // the connect brings everything
		}
		if err := w.speak(ctx); err != nil && ctx.Err() == nil {
			w.log.Debug("the overlay's state is not sent", "worker", w.opts.Name, "error", err)
			if !sleep(ctx, sendRetry) {
				return
			}
			w.sayAll()
			continue
		}
		if !sleep(ctx, coalesce) {
			return
		}
	}
}

// sayAll has everything told, as upon a connect.
func (w *Worker) sayAll() {
	w.mu.Lock()
	w.over.endpoints, w.over.interest = true, true
	w.mu.Unlock()
	signal(w.say)
}

func (w *Worker) speak(ctx context.Context) error {
	w.mu.Lock()
	endpoints, interest := w.over.endpoints, w.over.interest
	w.over.endpoints, w.over.interest = false, false
	var e wire.NetEndpoints
	if endpoints {
		e = wire.NetEndpoints{PublicKey: w.key, Outer: []netip.AddrPort{outer}, Endpoints: []wire.NetEndpoint{}}
		for _, c := range w.box.containers {
			if c.endpoint != nil {
				e.Endpoints = append(e.Endpoints, *c.endpoint)
			}
		}
	}
	var i wire.NetInterest
	if interest {
		i = w.over.declaration()
	}
	w.mu.Unlock()
	if endpoints {
		e.Header = w.header()
		if err := w.send(ctx, &w.net, wire.TopicNetEndpoints, e); err != nil {
			return err
		}
	}
	if interest {
		i.Header = w.header()
		return w.send(ctx, &w.net, wire.TopicNetInterest, i)
	}
	return nil
}

func (w *Worker) onNode(_ string, payload []byte) {
	var m wire.NetNode
	if len(payload) == 0 || json.Unmarshal(payload, &m) != nil || m.Check() != nil {
		return
	}
	w.mu.Lock()
	if m.After(w.over.node.Stamp) {
		w.over.node = m
		w.over.ready.Store(len(m.Subnets) > 0)
	}
	w.mu.Unlock()
}

// peersHeard is what matters here of [wire.NetPeers].
type peersHeard struct {
	wire.Header
	Peers []struct {
		WorkerID string `json:"worker_id"`
	} `json:"peers"`
	Base wire.Stamp `json:"base"`
	Gone []string   `json:"gone"`
}

// onPeers notes who is in the list that the worker holds, or asks for it anew if what came is a change of another one.
func (w *Worker) onPeers(_ string, payload []byte) {
	var m peersHeard
	if json.Unmarshal(payload, &m) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := &w.over
	switch {
	case !m.After(o.peers):
		return
	case m.Base.IsZero():
		o.peerIDs = make(map[string]struct{}, len(m.Peers))
	case m.Base != o.peers:
		o.interest = true
		signal(w.say)
		return
	}
	o.peers = m.Stamp
	for _, p := range m.Peers {
		o.peerIDs[p.WorkerID] = struct{}{}
	}
	for _, id := range m.Gone {
		delete(o.peerIDs, id)
	}
}

// Peers returns the ids of the workers that the worker was told of.
func (w *Worker) Peers() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.over.peerIDs))
}

func (w *Worker) onResolved(_ string, payload []byte) {
	var m wire.NetResolved
	if json.Unmarshal(payload, &m) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range m.Entries {
		if a := w.over.wanted[e.Address]; a != nil && e.Resolution == wire.ResolvedService {
			a.service = e.ServiceID
		}
	}
}
