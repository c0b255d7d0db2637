// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// A route that a peer has called stale is not used for distrustedLeast, and for twice as long each time that it says so again, up to
// distrustedMost. Newer routes, which are asked for at once, end it sooner; but if they say the same again, or the cluster is away, one of
// the two is wrong, and that should not last: a worker that starts says so of instances that it has not started yet.
const (
	distrustedLeast = 2 * time.Second
	distrustedMost  = 30 * time.Second
)

// distrust is what is held against a route: the copy of the instance that its worker does not have, or not at that address any more.
type distrust struct {
	peer  string
	ns    [2]netip.Addr
	tag   uint32
	until time.Time
	wait  time.Duration
	// lapsed says that the route is used again; what was held against it is only remembered.
	lapsed bool
}

// Distrust takes a worker's word that packets which were sent to a namespace address with a tag find nobody there. No new flow is given
// to that copy of an instance until the cluster says something else of it, which it is asked for.
func (t *Table) Distrust(workerID string, ns netip.Addr, tag uint32) {
	if !ns.IsValid() {
		return // that is what an address is that an instance has not
	}
	t.mu.Lock()
	defer t.unlock()
	for _, s := range t.services {
		if s.routes == nil {
			continue
		}
		for _, i := range s.routes.Instances {
			if i.Peer != workerID || i.Tag != tag || i.NamespaceIP != ns && i.NamespaceIPv6 != ns {
				continue
			}
			at := backendKey{i.Number, i.Generation}
			had, known := s.distrusted[at]
			known = known && !had.lapsed
			if s.distrusted == nil {
				s.distrusted = map[backendKey]distrust{}
			}
			if !known {
				wait := min(max(2*had.wait, distrustedLeast), distrustedMost)
				s.distrusted[at] = distrust{i.Peer, [2]netip.Addr{i.NamespaceIP, i.NamespaceIPv6}, tag, t.now().Add(wait), wait, false}
				if index, ok := s.backends[at]; ok {
					t.kernel.gone = append(t.kernel.gone, bpf.Owner{Backend: index, Slot: t.kernel.owners[index]})
				}
				t.log.Info("route is stale: its worker has nobody there", "service", s.id, "instance", i.Number, "generation", i.Generation, "worker", workerID)
				t.programAndLog(s, "route is stale")
			}
			// Once for each answer: routes that come because of this, and say the same, end the question.
			if s.doubted != s.routes.Stamp {
				s.doubted = s.routes.Stamp
				t.publish = true
			}
			return
		}
	}
}

// distrusts reports whether a route is not to be used.
func (s *service) distrusts(i wire.RouteInstance) bool {
	d, ok := s.distrusted[backendKey{i.Number, i.Generation}]
	return ok && !d.lapsed && d.holds(i)
}

// holds reports whether the route still says what was called stale.
func (d distrust) holds(i wire.RouteInstance) bool {
	return d.peer == i.Peer && d.tag == i.Tag && d.ns == [2]netip.Addr{i.NamespaceIP, i.NamespaceIPv6}
}

// trustNews forgets what is held against routes that say something else now.
func (s *service) trustNews() {
	now := map[backendKey]wire.RouteInstance{}
	for _, i := range s.routes.Instances {
		now[backendKey{i.Number, i.Generation}] = i
	}
	for at, d := range s.distrusted {
		if i, ok := now[at]; !ok || !d.holds(i) {
			delete(s.distrusted, at)
		}
	}
}

// expireDistrust has routes used again although nothing new was heard of them.
func (t *Table) expireDistrust(now time.Time) {
	for _, s := range t.services {
		again := false
		for at, d := range s.distrusted {
			switch {
			case now.Before(d.until):
			case !d.lapsed:
				d.lapsed = true
				s.distrusted[at] = d
				again = true
			case now.Sub(d.until) > distrustedMost:
				delete(s.distrusted, at)
			}
		}
		if again {
			t.programAndLog(s, "a route that was called stale is tried again")
		}
	}
}

// heldStamp is what the cluster is told that is held of a service: none if its routes are doubted, or a change of them is missing, so that the
// cluster says them again.
func (t *Table) heldStamp(s *service) wire.Stamp {
	if s != nil && t.gaps[s.id] != nil {
		return wire.Stamp{}
	}
	if s != nil && s.routes != nil && s.doubted == s.routes.Stamp {
		return wire.Stamp{}
	}
	return s.stamp()
}
