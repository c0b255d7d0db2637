// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// askAgain is how soon an address that was asked for may be asked for again.
const askAgain = 100 * time.Millisecond

// Want says that a packet to, or a lookup of, an address needs an answer. It comes by the functions given to [Table.OnAnswer]: at once if
// it is known, else when the cluster has given it.
func (t *Table) Want(a netip.Addr) {
	if !usableAddr(a) {
		return
	}
	addr := bpf.AddrFrom(a.Unmap())
	t.mu.Lock()
	defer t.unlock()
	now := t.now()
	w := t.wants[addr]
	if w == nil {
		if len(t.wants) >= maxWanted {
			t.forgetOldest()
		}
		w = &want{}
		t.wants[addr] = w
	}
	w.lookedUp = now
	if v, ok := t.kernel.vips[addr]; ok {
		t.answered(addr, v.Policy != bpf.PolicyNone)
		return
	}
	if s := t.owners[addr]; s != nil && s.routes != nil && s.waiting != nil {
		return // the answer is known, and waits for a peer
	}
	if now.Sub(w.asked) >= askAgain {
		w.asked = now
		t.publish = true
	}
}

// forgetOldest makes room for another wanted address.
func (t *Table) forgetOldest() {
	var oldest bpf.Addr
	var at time.Time
	for addr, w := range t.wants {
		if at.IsZero() || w.lookedUp.Before(at) {
			oldest, at = addr, w.lookedUp
		}
	}
	delete(t.wants, oldest)
}

// Resolved takes the cluster's answers to wanted addresses. That nobody has an address is remembered for 5 s; that it cannot be told now
// is not remembered, so that the next lookup asks anew.
func (t *Table) Resolved(m wire.NetResolved) error {
	if err := m.Check(); err != nil {
		return fmt.Errorf("take answers: %w", err)
	}
	t.mu.Lock()
	defer t.unlock()
	if m.Epoch < t.epoch {
		return nil // of a cluster that has been overruled
	}
	t.epoch = m.Epoch
	for _, e := range m.Entries {
		addr := bpf.AddrFrom(e.Address.Unmap())
		w := t.wants[addr]
		if w == nil || !usableAddr(e.Address) {
			continue
		}
		switch e.Resolution {
		case wire.ResolvedNone:
			if err := t.refuse(addr); err != nil {
				return fmt.Errorf("take answer for %s: %w", e.Address, err)
			}
		case wire.ResolvedUnavailable:
			w.asked = time.Time{}
		case wire.ResolvedService: // its routes say more
		default:
			t.log.Warn("the cluster's answer is unknown to this program: is it older than the cluster?", "address", e.Address, "answer", e.Resolution)
		}
	}
	return nil
}

// refuse remembers that nobody has an address, unless routes say that a service has it: those come from a list of their own.
func (t *Table) refuse(addr bpf.Addr) error {
	if t.owners[addr] != nil {
		return nil
	}
	if _, err := t.kernel.setVIPs(map[bpf.Addr]bpf.VIP{addr: {Policy: bpf.PolicyNone}}); err != nil {
		return err
	}
	t.refused[addr] = t.now().Add(refusedFor)
	t.answered(addr, false)
	return nil
}

// Interest returns the full set of addresses that this worker wants, sorted, each with the stamp of the routes held for it. The header and
// the stamp of the peers are the caller's to fill in.
func (t *Table) Interest() wire.NetInterest {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []wire.InterestAddress
	spoken := map[*service]bool{}
	for addr := range t.wants {
		s := t.owners[addr]
		if s != nil {
			spoken[s] = true
		}
		list = append(list, wire.InterestAddress{Address: addr.Netip(), Held: t.heldStamp(s)})
	}
	// A service whose addresses were all looked up before the last restart is wanted as long as it is kept.
	for _, s := range t.services {
		if addr, ok := s.firstAddr(); ok && !spoken[s] {
			list = append(list, wire.InterestAddress{Address: addr.Netip(), Held: t.heldStamp(s)})
		}
	}
	slices.SortFunc(list, func(a, b wire.InterestAddress) int { return a.Address.Compare(b.Address) })
	return wire.NetInterest{Addresses: list}
}

func (s *service) firstAddr() (first bpf.Addr, ok bool) {
	for addr := range s.addrs {
		if !ok || bytes.Compare(addr.B[:], first.B[:]) < 0 {
			first, ok = addr, true
		}
	}
	return first, ok
}
