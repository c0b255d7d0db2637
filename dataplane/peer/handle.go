// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// challengeLife is how long an answer may take.
const challengeLife = 5 * time.Second

// addressKept is how long a confirmed address is preferred to another one of its family at which the peer answers as well.
const addressKept = 2 * refreshEvery

// silentAfter is how many greetings in a row a peer does not answer, a third of a second, until an address of the other family is
// preferred to the one that it was located at.
const silentAfter = 6

// HandleHello takes a hello from the programs' ring buffer. Anything may be in it: what is not genuine, not for this worker, not
// new or from a worker that the cluster has not named is dropped.
func (g *Greeter) HandleHello(e bpf.Hello) {
	if int(e.Len) > len(e.Data) {
		return
	}
	data := e.Data[:e.Len]
	h, err := decodeHello(data)
	if err != nil {
		g.log.Debug("drop hello", "from", e.Src, "reason", err)
		return
	}
	from := netip.AddrPortFrom(e.Src.Netip(), e.Sport)

	g.mu.Lock()
	defer g.unlock()
	p, reason := g.accept(h, data)
	if p == nil {
		g.log.Debug("drop hello", "from", from, "reason", reason)
		return
	}
	p.accepted = h.at
	now := g.now()

	answered := h.quoted.start == g.cfg.Start && p.answeredBy(h.quoted.sequence, from, now)
	if answered {
		if err := g.confirm(p, h, e, from, now); err != nil {
			g.log.Error("cannot enter the address of a peer; it is greeted again", "peer", bpf.FormatID(p.id), "address", from, "error", err)
		}
	}
	// An address that it was not located at is asked for proof, once: who has just answered there need not answer again. One that is
	// located, but has not located us, is asked again, since our answer is what it needs.
	ask := !answered && p.address() != from || answered && !p.met()
	if (h.wantsAnswer || ask) && from.Addr().IsValid() && from.Port() != 0 && p.answers.AllowN(now, 1) {
		g.greet(p, from, ask, now)
	}
}

// accept returns the peer that a hello is from, or why it does not count.
func (g *Greeter) accept(h hello, data []byte) (*record, string) {
	if h.receiver != g.id {
		return nil, "for another worker"
	}
	p := g.byID[h.sender]
	if p == nil || p.key == nil {
		return nil, "from a worker that the cluster has not named"
	}
	if !genuine(data, p.key) {
		return nil, "wrong signature"
	}
	if !h.at.after(p.accepted) {
		return nil, "replayed or overtaken"
	}
	return p, ""
}

// confirm makes the address at which a peer has answered a hello of ours the one that packets are taken from and, once the peer says
// the same of ours, go to.
func (g *Greeter) confirm(p *record, h hello, e bpf.Hello, from netip.AddrPort, now time.Time) error {
	if p.located() && p.address() != from && !p.prefers(from, h, now) {
		return g.confirmElsewhere(p, from, now)
	}
	local := g.uplink.towards(from.Addr())
	if !local.IsValid() {
		return nil // the address that it has answered to is gone
	}
	state := bpf.PeerGreeting
	if h.met || p.met() {
		state = bpf.PeerUp
	}
	value := bpf.Peer{
		Id: p.id, State: state,
		Outer: bpf.AddrFrom(from.Addr()), Port: from.Port(),
		Local: bpf.AddrFrom(local), Ifindex: e.Ifindex,
		Mtu: smallerMTU(g.uplink.MTU, h.mtu),
	}
	before := p.kernel
	if err := g.write(p, value); err != nil {
		return err
	}
	if err := g.enterAddress(p, before, now); err != nil {
		return err
	}
	p.confirmed = now
	if state != bpf.PeerUp {
		return nil // greeted on until it has located us
	}
	if before.State != bpf.PeerUp || before.Outer != value.Outer || before.Port != value.Port {
		g.log.Info("peer met", "peer", bpf.FormatID(p.id), "index", p.index, "address", from, "mtu", value.Mtu)
	}
	if before.State != bpf.PeerUp {
		g.changed = append(g.changed, bpf.FormatID(p.id))
	}
	p.attempt = 0
	p.next = now.Add(jitter(refreshEvery))
	return nil
}

// enterAddress makes peer_addrs say what the peer's record says. The address of before goes, unless it is of the other family: the peer
// may still send from there.
func (g *Greeter) enterAddress(p *record, before bpf.Peer, now time.Time) error {
	if err := g.own(p, p.kernel.Outer); err != nil {
		return err
	}
	at := p.address()
	if p.other.at == at {
		p.other = elsewhere{}
	}
	if before.Outer == (bpf.Addr{}) || before.Outer == p.kernel.Outer {
		return nil
	}
	if was := netip.AddrPortFrom(before.Outer.Netip(), before.Port); was.Addr().Is4() != at.Addr().Is4() {
		return g.confirmElsewhere(p, was, now)
	}
	return g.leaveAddress(p.index, before.Outer)
}

// own enters an address as the peer's. It has one owner: who had it before is greeted anew.
func (g *Greeter) own(p *record, addr bpf.Addr) error {
	addrs := g.cfg.Maps.PeerAddrs
	owner, taken, err := addrs.Lookup(addr)
	if err != nil || taken && owner == p.index {
		return err
	}
	if err := addrs.Put(addr, p.index); err != nil {
		return err
	}
	if taken {
		g.unmeet(owner, addr)
	}
	return nil
}

// leaveAddress removes an address from peer_addrs if it is still that peer's.
func (g *Greeter) leaveAddress(index uint32, addr bpf.Addr) error {
	owner, taken, err := g.cfg.Maps.PeerAddrs.Lookup(addr)
	if err != nil || !taken || owner != index {
		return err
	}
	return g.cfg.Maps.PeerAddrs.Delete(addr)
}

// unmeet forgets that a peer is at an address, since that has turned out to be another's.
func (g *Greeter) unmeet(index uint32, addr bpf.Addr) {
	for _, p := range g.byID {
		if p.index != index {
			continue
		}
		if p.other.at.IsValid() && bpf.AddrFrom(p.other.at.Addr()) == addr {
			p.other = elsewhere{}
		}
		if p.kernel.Outer != addr {
			continue
		}
		if err := g.write(p, bpf.Peer{Id: p.id, State: bpf.PeerGreeting}); err != nil {
			g.log.Error("cannot take the address from a peer", "peer", bpf.FormatID(p.id), "error", err)
			return
		}
		g.log.Warn("address of a peer is another's now", "peer", bpf.FormatID(p.id))
		p.greetNow()
		g.changed = append(g.changed, bpf.FormatID(p.id))
	}
}

// smallerMTU is the MTU of the way: the smaller of both uplinks', where 0 is unknown.
func smallerMTU(own int, theirs uint16) uint16 {
	mtu := uint16(min(max(own, 0), 0xffff))
	if mtu == 0 || theirs != 0 && theirs < mtu {
		return theirs
	}
	return mtu
}
