// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// HandleHello takes a hello from the programs' ring buffer. Anything may be in it: what is not genuine, not for this worker, not
// new or from a worker that the cluster has not named is dropped.
func (g *Greeter) HandleHello(e bpf.Hello) {
	if int(e.Len) > len(e.Data) {
		return
	}
	data := e.Data[:e.Len]
	if hello.IsNotice(data) {
		g.mu.Lock()
		defer g.unlock()
		if reason := g.handleNotice(data); reason != "" {
			g.log.Debug("drop notice", "from", e.Src, "reason", reason)
		}
		return
	}
	h, err := hello.Decode(data)
	if err != nil {
		g.log.Debug("drop hello", "from", e.Src, "reason", err)
		return
	}
	from := netip.AddrPortFrom(e.Src.Netip(), e.Sport)
	now := g.now()

	g.mu.Lock()
	defer g.unlock()
	if o := g.observer; o != nil && o.id == h.Sender {
		if reason := g.accept(&o.conversation, h, data, from.Addr()); reason != "" {
			g.log.Debug("drop hello of the observer", "from", from, "reason", reason)
			return
		}
		g.handleObserver(h, from, now)
		return
	}
	p := g.byID[h.Sender]
	if p == nil || p.key == nil {
		g.log.Debug("drop hello", "from", from, "reason", "from a worker that the cluster has not named")
		return
	}
	if reason := g.accept(&p.conversation, h, data, from.Addr()); reason != "" {
		g.log.Debug("drop hello", "from", from, "reason", reason)
		return
	}
	g.handlePeer(p, h, e, from, now)
}

// accept takes a hello as the newest of the other side's, or returns why it does not count.
func (g *Greeter) accept(c *conversation, h hello.Hello, data []byte, from netip.Addr) (reason string) {
	accepted := &c.accepted[family(from)]
	switch {
	case h.Receiver != g.id:
		return "for another worker"
	case !hello.Genuine(data, c.key):
		return "wrong signature"
	case !h.At.After(*accepted):
		return "replayed or overtaken"
	}
	*accepted = h.At
	return ""
}

func (g *Greeter) handlePeer(p *record, h hello.Hello, e bpf.Hello, from netip.AddrPort, now time.Time) {
	answered := h.Quoted.Start == g.cfg.Start && p.answeredBy(h.Quoted.Sequence, from, now)
	if answered {
		if err := g.confirm(p, h, e, from, now); err != nil {
			g.log.Error("cannot enter the address of a peer; it is greeted again", "peer", bpf.FormatID(p.id), "address", from, "error", err)
		}
	}
	// An address that it was not located at is asked for proof, once: who has just answered there need not answer again. One that is
	// located, but has not located us, is asked again, since our answer is what it needs.
	ask := !answered && p.address() != from || answered && !p.met()
	if (h.WantsAnswer || ask) && from.Port() != 0 && p.answers.AllowN(now, 1) {
		g.greet(&p.conversation, p.takes(from.Addr()), from, ask, now)
	}
}

// confirm makes the address at which a peer has answered a hello of ours the one that packets are taken from and, once the peer says
// the same of ours, go to.
func (g *Greeter) confirm(p *record, h hello.Hello, e bpf.Hello, from netip.AddrPort, now time.Time) error {
	own := g.own(from.Addr())
	if !own.Addr().IsValid() {
		return nil // the address that it has answered to is gone
	}
	direct := h.Own == from
	nat := !direct || h.Observed.Addr().IsValid() && h.Observed != own
	if p.located() && p.address() != from {
		if sameFamily := from.Addr().Is4() == p.address().Addr().Is4(); !sameFamily && !p.prefers(from, nat, h.Met) {
			return g.confirmElsewhere(p, keyAt(bpf.AddrFrom(from.Addr()), from.Port(), nat), from.Addr().Is4(), now)
		} else if sameFamily && p.direct && h.Own == p.address() && now.Sub(p.confirmed) < addressKept {
			return nil // it answers at two addresses, and this is not its first choice
		}
	}
	p.direct, p.nat = direct, nat
	if p.noticed == (hello.Position{}) {
		p.noticed = h.At // older notices are of a conversation that was forgotten
	}
	state := bpf.PeerGreeting
	if h.Met || p.met() {
		state = bpf.PeerUp
	}
	value := bpf.Peer{
		Id: p.id, State: state,
		Outer: bpf.AddrFrom(from.Addr()), Port: from.Port(),
		Local: bpf.AddrFrom(own.Addr()), Ifindex: e.Ifindex,
		Mtu: carries(smallerMTU(g.uplink.MTU, h.MTU), from.Addr()), Family: familyOf(from.Addr()),
	}
	if nat {
		value.Sport = g.cfg.Port // where hellos come from: what is open in the NAT
	}
	before := p.kernel
	if err := g.write(p, value); err != nil {
		return err
	}
	if err := g.enterAddress(p, before, now); err != nil {
		return err
	}
	p.confirmed = now
	g.notice(&p.conversation, h.Observed, now)
	if state != bpf.PeerUp {
		return nil // greeted on until it has located us
	}
	if before.State != bpf.PeerUp || before.Outer != value.Outer || before.Port != value.Port {
		g.log.Info("peer met", "peer", bpf.FormatID(p.id), "index", p.index, "address", from, "nat", p.nat, "mtu", value.Mtu)
		p.since = now
		p.nextEcho = time.Time{} // another way, another round trip
		g.wake()
	}
	if before.State != bpf.PeerUp {
		g.changed = append(g.changed, bpf.FormatID(p.id))
	}
	p.settle(p.refresh(now), now)
	return nil
}

func familyOf(outer netip.Addr) uint16 {
	if outer.Is4() {
		return bpf.V4
	}
	return bpf.V6
}

// carries is how long a packet may be that the tunnel carries over a way of that MTU, 0 for one that is not known.
func carries(mtu uint16, outer netip.Addr) uint16 {
	if overhead := uint16(bpf.Overhead(outer.Is4())); mtu > overhead {
		return mtu - overhead
	}
	return 0
}

// smallerMTU is the MTU of the way: the smaller of both uplinks', where 0 is unknown.
func smallerMTU(own int, theirs uint16) uint16 {
	mtu := uint16(min(max(own, 0), 0xffff))
	if mtu == 0 || theirs != 0 && theirs < mtu {
		return theirs
	}
	return mtu
}
