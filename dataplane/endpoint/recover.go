// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// Open reads the state folder and compares it with the kernel: endpoints that both know are kept, ones whose device has
// vanished are dropped and logged, devices and map entries of none are removed. The set can attach nothing until
// [Set.Configure] was called.
func Open(cfg Config) (*Set, error) {
	s := &Set{cfg: cfg, log: cfg.Log, entries: make(map[wire.InstanceKey]*entry)}
	if s.log == nil {
		s.log = slog.Default()
	}
	var st state
	if err := statefile.Read(cfg.StateFile, &st); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open endpoints: %w", err)
	}
	s.freed = st.Freed
	s.op.Lock()
	defer s.op.Unlock()
	for _, r := range st.Endpoints {
		if err := s.recover(&entry{record: r}); err != nil {
			return nil, fmt.Errorf("recover endpoint %s: %w", r.InstanceKey, err)
		}
	}
	if err := s.removeLeftovers(); err != nil {
		return nil, fmt.Errorf("remove what no endpoint owns: %w", err)
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	return s, nil
}

// recover takes a stored endpoint back if its device is there. Of two records of one instance, which a crash during a
// take-over leaves, the higher generation is kept.
func (s *Set) recover(e *entry) error {
	host, err := device.Find(e.Interface)
	if err != nil {
		return err
	}
	if host == nil {
		s.log.Warn("dropped an endpoint whose namespace is gone", "instance", e.InstanceKey, "generation", e.Generation, "namespace_ip", e.NamespaceIP)
		s.rest(e, e.addresses()...)
		return nil
	}
	e.ifindex = host.Attrs().Index
	copy(e.hostMAC[:], host.Attrs().HardwareAddr)
	known, ok, err := s.cfg.Maps.Endpoints.Lookup(uint32(e.ifindex))
	if err != nil {
		return err
	}
	if ok {
		e.mac = known.Mac
	}
	if other := s.get(e.InstanceKey); other != nil && other.Generation.Compare(e.Generation) > 0 {
		return nil
	}
	s.put(e)
	return nil
}

// Configure says what the worker gives its endpoints, and mends all that are attached accordingly: the first call after
// [Open] attaches the programs anew. Endpoints of a worker that had no IPv6 before get their address of it.
func (s *Set) Configure(n Network) error {
	s.op.Lock()
	changed, err := s.configure(n)
	s.op.Unlock()
	if changed {
		s.changed()
	}
	return err
}

func (s *Set) configure(n Network) (changed bool, err error) {
	s.network = n
	var errs []error
	for _, old := range s.all() {
		e := *old
		e.Gateway = n.Gateway
		err := s.giveIPv6(&e)
		if err == nil {
			err = s.mend(&e)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("mend endpoint %s: %w", e.InstanceKey, err))
			continue
		}
		changed = changed || e.NamespaceIPv6 != old.NamespaceIPv6
		s.put(&e)
	}
	if changed {
		errs = append(errs, s.save())
	}
	return changed, errors.Join(errs...)
}

// mend plugs an endpoint anew, outside only if its namespace has lost its path.
func (s *Set) mend(e *entry) error {
	host, err := device.Find(e.Interface)
	if err != nil || host == nil {
		return err // Check drops it
	}
	ns, err := openNamespace(e.NetNS)
	if err != nil || ns.id != e.Namespace {
		if err == nil {
			ns.close()
		}
		return s.adopt(e, host, nil)
	}
	defer ns.close()
	inner, err := ns.inner(host)
	if err != nil {
		return err
	}
	if inner == nil {
		return s.adopt(e, host, nil)
	}
	return s.plug(e, ns)
}

// removeLeftovers deletes devices and map entries that belong to no endpoint.
func (s *Set) removeLeftovers() error {
	owned := make(map[int]bool)
	for _, e := range s.all() {
		owned[e.ifindex] = true
	}
	// The host's flows go on while it is not known yet which addresses it is to have.
	far, err := device.Find(device.HostFar)
	if err != nil {
		return err
	}
	if far != nil {
		owned[far.Attrs().Index] = true
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		if owned[a.Index] || l.Type() != "veth" || !strings.HasPrefix(a.Name, namePrefix) || (a.Alias != "" && !strings.HasPrefix(a.Alias, aliasPrefix)) {
			continue
		}
		s.log.Warn("removing a device that no endpoint owns", "interface", a.Name, "was", strings.TrimPrefix(a.Alias, aliasPrefix))
		if err := s.removeDevice(a.Name, a.Index); err != nil {
			return err
		}
	}
	return s.removeStaleEntries(owned)
}

func (s *Set) removeStaleEntries(owned map[int]bool) (err error) {
	stale := make(map[uint32]bpf.Endpoint)
	for i, e := range s.cfg.Maps.Endpoints.All(&err) {
		if !owned[int(i)] {
			stale[i] = e
		}
	}
	var lost []bpf.Addr
	for a, i := range s.cfg.Maps.Local.All(&err) {
		if !owned[int(i)] {
			lost = append(lost, a)
		}
	}
	if err != nil {
		return err
	}
	for _, a := range lost {
		if err := s.cfg.Maps.Local.Delete(a); err != nil {
			return err
		}
	}
	for i, e := range stale {
		if err := errors.Join(s.cfg.Datapath.Detach(int(i)), s.cfg.Datapath.PurgeEndpoint(e.Ns[bpf.V4].Netip(), e.Ns[bpf.V6].Netip())); err != nil {
			return err
		}
		if err := s.cfg.Maps.Endpoints.Delete(i); err != nil { // last, see unplug
			return err
		}
	}
	return nil
}
