// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Apply makes the list of peers what the cluster says. A list that is not newer than the one held changes nothing. What the list
// lacks goes once conntrack and routes do without it. Entries that make no sense are left out, named in the error; the others count.
func (g *Greeter) Apply(list wire.NetPeers) error {
	if err := list.Check(); err != nil {
		return fmt.Errorf("apply peers: %w", err)
	}
	g.mu.Lock()
	defer g.unlock()
	if g.listed && !list.After(g.held) {
		return nil
	}
	g.held, g.listed = list.Stamp, true

	for _, p := range g.byID {
		p.returns, p.wanted = !p.wanted, false
	}
	var errs []error
	for _, entry := range list.Peers {
		if err := g.applyPeer(entry); err != nil {
			errs = append(errs, fmt.Errorf("peer %q: %w", entry.WorkerID, err))
		}
	}
	if err := g.applySources(list.Peers); err != nil {
		errs = append(errs, err)
	}
	g.wake()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("apply peers %s: %w", list.Stamp, err)
	}
	return nil
}

func (g *Greeter) applyPeer(entry wire.NetPeer) error {
	id, err := bpf.ParseID(entry.WorkerID)
	if err != nil {
		return err
	}
	if id == g.id {
		return nil
	}
	p := g.byID[id]
	if p != nil {
		p.wanted = true // even if the rest is wrong: a mistake is no command to remove
		if err := g.doubt(p); err != nil {
			return err
		}
	}
	var key []byte
	if p == nil || !bytes.Equal(p.public, entry.PublicKey) {
		if key, err = hello.PairKey(g.cfg.Key, entry.PublicKey, g.id, id); err != nil {
			return err
		}
	}
	if p == nil {
		if p, err = g.add(id); err != nil {
			return err
		}
	}
	if key != nil {
		p.public, p.key = bytes.Clone(entry.PublicKey), key
		p.accepted, p.noticed = [2]hello.Position{}, hello.Position{} // another key, another sender
		p.greetNow()
	}
	if outer := usable(entry.Outer); !slices.Equal(outer, p.outer) {
		p.outer = outer
		p.since = g.now() // one of these may be better
		p.greetNow()
	}
	if entry.NAT != p.behind {
		p.behind = entry.NAT
		p.greetNow()
	}
	return nil
}

// doubt has a peer that a list lacked for a while prove anew that it takes our packets: it may have forgotten us meanwhile, and would drop
// the first packets of new flows as a stranger's. Flows that it has go on.
func (g *Greeter) doubt(p *record) error {
	if !p.returns {
		return nil
	}
	p.returns = false
	p.greetNow()
	if !p.met() {
		return nil
	}
	value := p.kernel
	value.State = bpf.PeerGreeting
	if err := g.write(p, value); err != nil {
		return err
	}
	g.changed = append(g.changed, bpf.FormatID(p.id))
	return nil
}

// add takes in a worker that no map knows yet.
func (g *Greeter) add(id [12]byte) (*record, error) {
	index, err := g.indices.take()
	if err != nil {
		return nil, err
	}
	p := &record{conversation: newConversation(id, g.ended), index: index, wanted: true}
	// Its place may have been another's.
	err = g.cfg.Maps.PeerHealth.Put(index, bpf.PeerHealth{})
	if err == nil {
		err = g.write(p, bpf.Peer{Id: id, State: bpf.PeerGreeting})
	}
	if err != nil {
		delete(g.indices.used, index)
		return nil, err
	}
	g.byID[id] = p
	g.changed = append(g.changed, bpf.FormatID(id))
	return p, nil
}

// write sets a peer's record in the kernel, if it differs.
func (g *Greeter) write(p *record, value bpf.Peer) error {
	if value == p.kernel {
		return nil
	}
	if err := g.cfg.Maps.Peers.Put(p.index, value); err != nil {
		return err
	}
	p.kernel = value
	return nil
}
