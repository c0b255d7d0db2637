// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxOrganization is the length of the longest id of an organisation that a worker may ask names of.
const maxOrganization = 64

// subject is what an answer to a name depends on: a service, by the name that all its names end with, or an address.
type subject struct {
	service wire.NameKey
	address netip.Addr
}

// wantedName is a name that a worker wants, and what it was last told.
type wantedName struct {
	subject subject
	name    semantic.DNSName // of a service's subject
	told    wire.ResolvedName
	stamp   wire.Stamp
}

// readName takes a wanted name apart; false if nobody can ever have it.
func readName(k wire.NameKey) (w wantedName, ok bool) {
	if a, ok := semantic.ParseReverseName(k.Name); ok && semantic.ReverseName(a) == k.Name {
		return wantedName{subject: subject{address: a}}, true
	}
	n, err := semantic.ParseDNSName(k.Name)
	if err != nil || n.String() != k.Name {
		return wantedName{}, false
	}
	return wantedName{subject: subject{service: wire.NameKey{Organization: k.Organization, Name: n.Base()}}, name: n}, true
}

// wantNames replaces the names that w wants. What w does not hold of what it was told, it is told again.
func (c *Core) wantNames(w *worker, list []wire.InterestName) {
	for _, n := range w.names {
		if delete(c.askers[n.subject], w.id); len(c.askers[n.subject]) == 0 {
			delete(c.askers, n.subject)
		}
	}
	before := w.names
	w.names = make(map[wire.NameKey]*wantedName, len(list))
	for _, i := range list[:min(len(list), MaxNames)] {
		if len(i.Organization) > maxOrganization {
			continue
		}
		n := before[i.NameKey]
		if n == nil {
			fresh, ok := readName(i.NameKey)
			if !ok {
				continue
			}
			n = &fresh
		}
		if i.Held != n.stamp {
			n.told, n.stamp = wire.ResolvedName{}, wire.Stamp{}
		}
		w.names[i.NameKey] = n
		if c.askers[n.subject] == nil {
			c.askers[n.subject] = set{}
		}
		c.askers[n.subject].add(w.id)
	}
}

// claimName has a service known by its name from now on, and by none of before. Names are unique for an organisation, but a
// service that is gone but for its last copies may have a successor.
func (c *Core) claimName(s *service) {
	fresh := wire.NameKey{}
	if n, err := semantic.DNSNameOf(s.JobName); err == nil {
		fresh = wire.NameKey{Organization: s.Organization, Name: n.String()}
	}
	if s.name != fresh {
		c.disclaimName(s)
		s.name = fresh
		for _, a := range addressesOf(&s.Service) {
			c.touchName(subject{address: a})
		}
	}
	if fresh.Name == "" {
		return
	}
	if c.named[fresh] == nil {
		c.named[fresh] = set{}
	}
	c.named[fresh].add(s.ID)
	c.touchName(subject{service: fresh})
}

func (c *Core) disclaimName(s *service) {
	if delete(c.named[s.name], s.ID); len(c.named[s.name]) == 0 {
		delete(c.named, s.name)
	}
	c.touchName(subject{service: s.name})
}

// touchName marks those who asked for another look at what they were told.
func (c *Core) touchName(s subject) {
	for w := range c.askers[s] {
		c.dirtyAnswers.add(w)
	}
}

// answerNames returns the answers to w's names that differ from what it was last told, all of the same stamp.
func (c *Core) answerNames(w *worker, stamp func() wire.Stamp, now time.Time) []wire.ResolvedName {
	var out []wire.ResolvedName
	unsure := c.unsure(now)
	for k, n := range w.names {
		a := c.resolveName(k, n)
		if a.Resolution == wire.ResolvedNone && !c.nobody(n.subject) {
			if c.asked(n.subject) {
				continue
			}
			a.Resolution = wire.ResolvedUnavailable
		}
		if a.Resolution == wire.ResolvedNone && unsure {
			a.Resolution = wire.ResolvedUnavailable
		}
		if a.Resolution == n.told.Resolution && a.Target == n.told.Target && slices.Equal(a.Addresses, n.told.Addresses) {
			continue
		}
		n.told, n.stamp = a, stamp()
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b wire.ResolvedName) int { return a.Compare(b.NameKey) })
	return out
}

// nobody reports whether no other cluster has the subject of a name either.
func (c *Core) nobody(s subject) bool {
	owner, told := c.abroad.names[s.service]
	if s.address.IsValid() {
		owner, told = c.abroad.addresses[s.address]
	}
	return c.abroad.alone || told && owner == "" || told && c.services[owner] != nil
}

// asked reports whether root may still say who has the subject of a name.
func (c *Core) asked(s subject) bool {
	_, told := c.abroad.names[s.service]
	if s.address.IsValid() {
		_, told = c.abroad.addresses[s.address]
	}
	return c.abroad.asking && !told
}

// unsure reports whether there may be services that this process does not know of yet: a worker that may run one has not been
// heard of since it started.
func (c *Core) unsure(now time.Time) bool {
	if !now.Before(c.graceEnd) {
		return false
	}
	for _, w := range c.workers {
		if !w.settled {
			return true
		}
	}
	return false
}

func (c *Core) resolveName(k wire.NameKey, n *wantedName) wire.ResolvedName {
	a := wire.ResolvedName{NameKey: k, Resolution: wire.ResolvedNone}
	if n.subject.address.IsValid() {
		if a.Target = c.nameOf(k.Organization, n.subject.address); a.Target != "" {
			a.Resolution = wire.ResolvedService
		}
		return a
	}
	s := c.services[c.nameOwner(n.subject.service)]
	if s == nil {
		return a
	}
	if n.name.Policy == wire.PolicyInstance {
		a.Addresses = c.instanceAddresses(s, n.name.Number)
	} else {
		for _, x := range s.Addresses {
			if x.Policy == n.name.Policy && x.Address.IsValid() && c.owns(s.ID, x.Address) {
				a.Addresses = append(a.Addresses, x.Address)
			}
		}
	}
	if len(a.Addresses) > 0 {
		slices.SortFunc(a.Addresses, netip.Addr.Compare)
		a.Resolution = wire.ResolvedService
	}
	return a
}

// nameOwner returns the service that has a name: of several the one that root wants.
func (c *Core) nameOwner(name wire.NameKey) string {
	best := ""
	for id := range c.named[name] {
		if best == "" || c.outranks(id, best, "") {
			best = id
		}
	}
	return best
}

// instanceAddresses returns the Instance IPs of an instance of which there is any copy.
func (c *Core) instanceAddresses(s *service, number int) (out []netip.Addr) {
	var newest *Copy
	for i := range s.Copies {
		if x := &s.Copies[i]; x.Number == number && (newest == nil || x.Generation.Compare(newest.Generation) > 0) {
			newest = x
		}
	}
	if newest == nil {
		return nil
	}
	for _, a := range []netip.Addr{newest.InstanceIP, newest.InstanceIPv6} {
		if a.IsValid() && c.owns(s.ID, a) {
			out = append(out, a)
		}
	}
	return out
}

// nameOf returns the name of an address for those of an organisation; "" if it has none.
func (c *Core) nameOf(organization string, a netip.Addr) string {
	s := c.services[c.addresses[a]]
	if s == nil || s.Organization != organization {
		return ""
	}
	n, err := semantic.DNSNameOf(s.JobName)
	if err != nil {
		return ""
	}
	for _, x := range s.Addresses {
		if x.Address == a {
			n.Policy = x.Policy
			return n.String()
		}
	}
	for _, x := range s.Copies {
		if x.InstanceIP == a || x.InstanceIPv6 == a {
			n.Policy, n.Number = wire.PolicyInstance, x.Number
			return n.String()
		}
	}
	return ""
}
