// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// addressKept is how long an address counts after it was last confirmed: it is preferred to another one at which the peer answers as
// well, and packets are taken from it although the peer has been located elsewhere since.
const addressKept = 2 * refreshEvery

// maxFormer bounds the former addresses of one peer from which packets are taken.
const maxFormer = 3

// former is an address where a peer was located until another one was confirmed.
type former struct {
	key   bpf.PeerAddr
	until time.Time
}

// enterAddress makes peer_addrs say what the peer's record says. Of a
// peer behind a NAT the address before counts on for a while: the NAT may have several for it.
func (g *Greeter) enterAddress(p *record, before bpf.Peer, now time.Time) error {
	key := keyOf(p.kernel)
	if err := g.take(p, key); err != nil {
		return err
	}
	p.former = slices.DeleteFunc(p.former, func(f former) bool { return f.key == key })
	if p.other.key == key {
		p.other = elsewhere{}
	}
	if was := keyOf(before); was != (bpf.PeerAddr{}) && was != key {
		if isIPv4(before.Outer) != isIPv4(p.kernel.Outer) {
			return g.confirmElsewhere(p, was, isIPv4(before.Outer), now)
		}
		p.former = append(p.former, former{was, now.Add(addressKept)})
	}
	if p.direct {
		return g.leaveFormer(p, time.Time{})
	}
	return g.leaveFormer(p, now)
}

// take enters an address as the peer's. It has one owner: who had it before is greeted anew.
func (g *Greeter) take(p *record, key bpf.PeerAddr) error {
	addrs := g.cfg.Maps.PeerAddrs
	owner, taken, err := addrs.Lookup(key)
	if err != nil || taken && owner == p.index {
		return err
	}
	if err := addrs.Put(key, p.index); err != nil {
		return err
	}
	if taken {
		g.unmeet(owner, key)
	}
	return nil
}

// keyOf is the key in peer_addrs of where a peer was located; zero if it was not.
func keyOf(p bpf.Peer) bpf.PeerAddr { return keyAt(p.Outer, p.Port, p.Sport != 0) }

// keyAt is the key in peer_addrs of an address. Without a NAT in between packets come from any port, as the flow's hash says; with one
// they come from that of the tunnel, whatever the NAT makes of it, and others may have the same address.
func keyAt(addr bpf.Addr, port uint16, nat bool) bpf.PeerAddr {
	if nat {
		return bpf.PeerAddr{Addr: addr, Port: port}
	}
	return bpf.PeerAddr{Addr: addr}
}

// leaveFormer removes former addresses whose time has come, and those over the bound; all if now is zero.
func (g *Greeter) leaveFormer(p *record, now time.Time) error {
	for len(p.former) > 0 && (now.IsZero() || len(p.former) > maxFormer || !now.Before(p.former[0].until)) {
		if err := g.leaveAddress(p.index, p.former[0].key); err != nil {
			return err
		}
		p.former = p.former[1:]
	}
	return nil
}

// leaveAddress removes an address from peer_addrs if it is still that peer's.
func (g *Greeter) leaveAddress(index uint32, key bpf.PeerAddr) error {
	owner, taken, err := g.cfg.Maps.PeerAddrs.Lookup(key)
	if err != nil || !taken || owner != index {
		return err
	}
	return g.cfg.Maps.PeerAddrs.Delete(key)
}

// unmeet forgets that a peer is at an address, since that has turned out to be another's.
func (g *Greeter) unmeet(index uint32, key bpf.PeerAddr) {
	for _, p := range g.byID {
		if p.index != index {
			continue
		}
		p.former = slices.DeleteFunc(p.former, func(f former) bool { return f.key == key })
		if p.other.key == key {
			p.other = elsewhere{}
		}
		if !p.located() || keyOf(p.kernel) != key {
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

// usable are the addresses that somebody can be greeted at, each once and not too many.
func usable(outer []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range outer {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		ip := a.Addr()
		// An address that means something on one link alone leads to nobody, or to somebody else.
		if !ip.IsGlobalUnicast() || a.Port() == 0 {
			continue
		}
		if len(out) < maxOuter && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
