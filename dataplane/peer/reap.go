// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"errors"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// reap removes the peers and sources that the list lacks and that neither conntrack nor a route uses.
func (g *Greeter) reap() {
	g.leaveAllFormer()
	if !g.unwanted() {
		return
	}
	usedPeers, usedSources, err := g.inUse()
	if err != nil {
		g.log.Warn("keep peers that the cluster's list lacks: cannot tell whether they are in use", "error", err)
		return
	}
	g.mu.Lock()
	defer g.unlock()
	for addr, s := range g.sources {
		if s.wanted || usedSources[addr] > 0 {
			continue
		}
		if err := g.dropSource(addr); err != nil {
			g.log.Error("cannot remove a source; tried again", "source", addr, "error", err)
		}
	}
	for _, s := range g.sources {
		usedPeers[s.kernel.Peer]++
	}
	for _, p := range g.byID {
		if p.wanted || usedPeers[p.index] > 0 {
			continue
		}
		if err := g.drop(p); err != nil {
			g.log.Error("cannot remove a peer; tried again", "peer", bpf.FormatID(p.id), "error", err)
		}
	}
}

func (g *Greeter) unwanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.listed {
		return false // no list, no statement
	}
	for _, p := range g.byID {
		if !p.wanted {
			return true
		}
	}
	for _, s := range g.sources {
		if !s.wanted {
			return true
		}
	}
	return false
}

// inUse counts the users of peers and sources: flows and backends.
func (g *Greeter) inUse() (map[uint32]int, map[bpf.Addr]int, error) {
	peers := map[uint32]int{}
	var sources map[bpf.Addr]int
	if g.cfg.InUse != nil {
		byFlow, bySource, _, err := g.cfg.InUse()
		if err != nil {
			return nil, nil, err
		}
		for i, n := range byFlow {
			peers[i] += n
		}
		sources = bySource
	}
	var err error
	for _, b := range g.cfg.Maps.Backends.All(&err) {
		if b.Generation != 0 {
			peers[b.Peer]++
		}
	}
	return peers, sources, err
}

// drop removes a peer: first what leads to it, its record last.
func (g *Greeter) drop(p *record) error {
	if p.located() {
		if err := g.leaveAddress(p.index, keyOf(p.kernel)); err != nil {
			return err
		}
	}
	if err := errors.Join(g.leaveFormer(p, time.Time{}), g.leaveElsewhere(p)); err != nil {
		return err
	}
	if err := g.write(p, bpf.Peer{}); err != nil {
		return err
	}
	g.end(&p.conversation)
	delete(g.byID, p.id)
	delete(g.indices.used, p.index)
	g.log.Info("peer removed", "peer", bpf.FormatID(p.id), "index", p.index)
	g.changed = append(g.changed, bpf.FormatID(p.id))
	g.updatePublic()
	return nil
}

// leaveAllFormer removes the former addresses of peers whose time has come.
func (g *Greeter) leaveAllFormer() {
	now := g.now()
	g.mu.Lock()
	defer g.unlock()
	for _, p := range g.byID {
		if err := errors.Join(g.leaveFormer(p, now), g.forgetElsewhere(p, now)); err != nil {
			g.log.Error("cannot remove a former address; tried again", "peer", bpf.FormatID(p.id), "error", err)
		}
	}
}
