// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Attach attaches a network namespace. It returns once the namespace can send and be reached on this worker. The same
// generation again changes nothing, save that what is broken is mended; a higher one takes the endpoint over, and keeps its
// address if it is in the same namespace; a lower one is refused with [ErrStale].
func (s *Set) Attach(ctx context.Context, want wire.LocalAttach) (wire.LocalEndpoint, error) {
	s.op.Lock()
	e, changed, err := s.attach(ctx, want)
	s.op.Unlock()
	if changed {
		s.changed()
	}
	if err != nil {
		return wire.LocalEndpoint{}, fmt.Errorf("attach instance %s: %w", want.InstanceKey, err)
	}
	return e.LocalEndpoint, nil
}

func (s *Set) attach(ctx context.Context, want wire.LocalAttach) (e *entry, changed bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, false, err
	}
	if err := check(want); err != nil {
		return nil, false, err
	}
	if !s.network.Gateway.IsValid() {
		return nil, false, ErrNotReady
	}
	ns, err := openNamespace(want.NetNS)
	if err != nil {
		return nil, false, err
	}
	defer ns.close()

	old := s.get(want.InstanceKey)
	if old != nil && old.Generation.Compare(want.Generation) > 0 {
		return nil, false, fmt.Errorf("%w: asked for %s, have %s", ErrStale, want.Generation, old.Generation)
	}
	if e, err = s.plan(old, want, ns); err != nil {
		return nil, false, err
	}
	if old != nil && e.sameAs(old) {
		// plug mends what is broken and leaves the rest; a copy, since others may be reading the old entry.
		if err := s.plug(e, ns); err != nil {
			return nil, false, err
		}
		s.put(e)
		if e.Organization != old.Organization { // which an endpoint of before it was told does not have
			if err := s.save(); err != nil {
				return nil, false, err
			}
		}
		if e.ifindex == old.ifindex {
			return e, false, nil
		}
		return e, true, s.cfg.Datapath.PurgeEndpoint(e.addresses()...)
	}
	return e, true, s.replace(old, e, ns)
}

// replace brings e up, on disk first, and then takes down what of old it does not use.
func (s *Set) replace(old, e *entry, ns namespace) error {
	if err := s.save(e); err != nil {
		return err
	}
	if err := s.plug(e, ns); err != nil {
		if old == nil || old.Interface != e.Interface {
			err = errors.Join(err, s.unplug(e))
		}
		return errors.Join(err, s.save())
	}
	s.put(e)
	switch {
	case old == nil:
	case old.Generation == e.Generation && old.Namespace == e.Namespace && old.ifindex == e.ifindex:
		// The same copy, of which something else is said: its flows go on.
	case old.Interface == e.Interface:
		// The flows so far are those of a dead copy.
		if err := s.cfg.Datapath.PurgeEndpoint(old.addresses()...); err != nil {
			return err
		}
	default:
		if err := s.unplug(old); err != nil {
			s.log.Warn("cannot take the older copy of an endpoint down", "instance", old.InstanceKey, "generation", old.Generation, "error", err)
		}
		kept := e.addresses()
		s.rest(old, slices.DeleteFunc(old.addresses(), func(a netip.Addr) bool { return slices.Contains(kept, a) })...)
	}
	s.log.Info("attached an instance", "instance", e.InstanceKey, "generation", e.Generation, "job", e.JobName,
		"namespace_ip", e.NamespaceIP, "namespace_ipv6", e.NamespaceIPv6, "instance_ip", e.InstanceIP, "interface", e.Interface)
	return s.save()
}

// plan says what the endpoint is to be. Address and tag belong to a generation; a higher one in the same namespace keeps
// the address, since the namespace has it.
func (s *Set) plan(old *entry, want wire.LocalAttach, ns namespace) (*entry, error) {
	e := &entry{record: record{Namespace: ns.id}}
	e.LocalAttach = want
	e.Gateway = s.network.Gateway
	same := old != nil && old.Namespace == ns.id
	switch {
	case old != nil && (same || old.Generation == want.Generation):
		e.NamespaceIP, e.NamespaceIPv6, e.Interface, e.Tag = old.NamespaceIP, old.NamespaceIPv6, old.Interface, old.Tag
		e.ifindex, e.mac, e.hostMAC = old.ifindex, old.mac, old.hostMAC
		if old.Generation != want.Generation {
			e.Tag = newTag()
		}
		return e, s.giveIPv6(e)
	case len(s.all())+1 >= int(s.cfg.Maps.Endpoints.Map().MaxEntries()): // the host is one too
		return nil, fmt.Errorf("%w: this worker has %d endpoints, which is all that its programs can hold", ErrFull, len(s.all()))
	}
	e.Interface = interfaceName(want.InstanceKey, want.Generation)
	var again bool
	if e.NamespaceIP, e.Tag, again = s.resting(e, v4); again {
		return e, s.giveIPv6(e)
	}
	ip, err := allocate(s.network.Subnets, v4, s.taken, s.freed, time.Now())
	if err != nil {
		return nil, err
	}
	e.NamespaceIP, e.Tag = ip, newTag()
	return e, s.giveIPv6(e)
}

// resting returns what the same copy of an instance had before, if nobody has got it and it is still this worker's to give.
func (s *Set) resting(e *entry, f family) (a netip.Addr, tag uint32, ok bool) {
	a, tag, ok = restingOf(s.freed, e.InstanceKey, e.Generation, f)
	ours := slices.ContainsFunc(s.network.Subnets, func(p netip.Prefix) bool { return p.Contains(a) })
	if !ok || !ours || s.taken(a) {
		return netip.Addr{}, 0, false
	}
	return a, tag, true
}

// giveIPv6 gives an endpoint its IPv6 address, if it has none and the worker has a subnet for it.
func (s *Set) giveIPv6(e *entry) error {
	if e.NamespaceIPv6.IsValid() || !s.network.GatewayIPv6.IsValid() {
		return nil
	}
	if a, tag, ok := s.resting(e, v6); ok && tag == e.Tag {
		e.NamespaceIPv6 = a
		return nil
	}
	ip, err := allocate(s.network.Subnets, v6, s.taken, s.freed, time.Now())
	if err != nil {
		return err
	}
	e.NamespaceIPv6 = ip
	return nil
}

func (s *Set) taken(a netip.Addr) bool {
	for _, e := range s.all() {
		if e.NamespaceIP == a || e.NamespaceIPv6 == a {
			return true
		}
	}
	return false
}

// rest has addresses that an endpoint has given back rest.
func (s *Set) rest(e *entry, addrs ...netip.Addr) {
	key := e.InstanceKey
	for _, a := range addrs {
		s.freed = slices.DeleteFunc(s.freed, func(f freed) bool { return f.Address == a })
		s.freed = append(s.freed, freed{a, time.Now(), &key, e.Generation, e.Tag})
	}
}

// sameAs reports whether e differs from old in nothing that packets depend on.
func (e *entry) sameAs(old *entry) bool {
	return slices.Equal(e.Addresses, old.Addresses) && slices.Equal(e.Ports, old.Ports) &&
		e.InstanceKey == old.InstanceKey && e.Generation == old.Generation && e.JobName == old.JobName && e.NetNS == old.NetNS &&
		e.Namespace == old.Namespace && e.InstanceIP == old.InstanceIP && e.InstanceIPv6 == old.InstanceIPv6 &&
		e.Gateway == old.Gateway && e.NamespaceIP == old.NamespaceIP && e.NamespaceIPv6 == old.NamespaceIPv6 &&
		e.Tag == old.Tag && e.Interface == old.Interface
}

// check refuses what can never be attached.
func check(want wire.LocalAttach) error {
	if _, err := bpf.ParseID(want.ServiceID); err != nil {
		return fmt.Errorf("%w: service_id: %w", ErrInvalid, err)
	}
	switch {
	case want.Number < 0 || want.Number > math.MaxInt32:
		return fmt.Errorf("%w: instance_number %d is out of range", ErrInvalid, want.Number)
	case want.Generation == wire.Generation{}:
		return fmt.Errorf("%w: generation is missing", ErrInvalid)
	case !want.InstanceIP.Is4():
		return fmt.Errorf("%w: instance_ip is not an IPv4 address", ErrInvalid)
	case want.InstanceIPv6.IsValid() && (!want.InstanceIPv6.Is6() || want.InstanceIPv6.Is4In6()):
		return fmt.Errorf("%w: instance_ipv6 is not an IPv6 address", ErrInvalid)
	}
	return nil
}
