// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"errors"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Expire forgets refusals that are over, and services and addresses that nobody has looked up for 10 minutes and that conntrack does not
// need. It is to be called about once a second, with the current time.
func (t *Table) Expire(now time.Time) error {
	t.mu.Lock()
	err := t.expireRefusals(now)
	t.expireDistrust(now)
	t.expireStored(now)
	t.expireGaps(now)
	lapsed := t.lapsed(now)
	t.unlock()
	if len(lapsed) == 0 {
		return err
	}
	used := map[bpf.Addr]int{}
	if t.cfg.InUse != nil {
		_, _, vips, uerr := t.cfg.InUse()
		if uerr != nil {
			return errors.Join(err, uerr) // kept: whether they are in use cannot be told
		}
		used = vips
	}
	t.mu.Lock()
	defer t.unlock()
	for _, s := range t.lapsed(now) {
		if s.used(used) {
			s.since = now.Add(lookAgain - wantedFor) // counting flows is not for every second
			continue
		}
		for addr := range s.addrs {
			delete(t.wants, addr)
		}
		t.log.Info("service is wanted no more", "service", s.id)
		err = errors.Join(err, t.drop(s))
		t.publish = true
	}
	return err
}

// expireStored has stored routes count like others once the cluster has had the time to send newer ones.
func (t *Table) expireStored(now time.Time) {
	if t.restored.IsZero() || now.Sub(t.restored) < restoredFor {
		return
	}
	t.restored = time.Time{}
	for _, s := range t.services {
		if s.stored {
			s.stored = false
			t.programAndLog(s, "nothing newer came than was stored")
		}
	}
}

// lapsed are the services that were not looked up for long. Wanted addresses of no service go on the way.
func (t *Table) lapsed(now time.Time) []*service {
	latest := make(map[*service]time.Time, len(t.services))
	for addr, w := range t.wants {
		s := t.owners[addr]
		if s == nil {
			if now.Sub(w.lookedUp) >= wantedFor {
				delete(t.wants, addr)
				t.publish = true
			}
			continue
		}
		if w.lookedUp.After(latest[s]) {
			latest[s] = w.lookedUp
		}
	}
	var out []*service
	for _, s := range t.services {
		if now.Sub(s.since) >= wantedFor && now.Sub(latest[s]) >= wantedFor {
			out = append(out, s)
		}
	}
	return out
}

func (s *service) used(vips map[bpf.Addr]int) bool {
	for addr := range s.addrs {
		if vips[addr] > 0 {
			return true
		}
	}
	return false
}

func (t *Table) expireRefusals(now time.Time) error {
	var err error
	for addr, until := range t.refused {
		if now.Before(until) {
			continue
		}
		if rerr := t.kernel.removeVIP(addr); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		delete(t.refused, addr)
		if t.wants[addr] != nil {
			delete(t.wants, addr) // the next lookup asks anew
			t.publish = true
		}
	}
	return err
}
