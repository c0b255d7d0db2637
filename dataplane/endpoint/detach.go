// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Detach takes an instance's endpoint away if its generation is at most g: a tombstone of an older copy never harms the
// newer. An endpoint that is not there is no error.
func (s *Set) Detach(ctx context.Context, key wire.InstanceKey, g wire.Generation) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.op.Lock()
	e := s.get(key)
	if e == nil || e.Generation.Compare(g) > 0 {
		s.op.Unlock()
		return nil
	}
	err := s.drop(e)
	s.op.Unlock()
	s.changed()
	if err != nil {
		return fmt.Errorf("detach instance %s: %w", key, err)
	}
	s.log.Info("detached an instance", "instance", key, "generation", e.Generation, "namespace_ip", e.NamespaceIP)
	return nil
}

// drop forgets an endpoint, in the kernel and on disk. If the kernel refuses, the endpoint stays known so that it can be
// tried again.
func (s *Set) drop(e *entry) error {
	if err := s.unplug(e); err != nil {
		return err
	}
	s.remove(e)
	s.rest(e, e.addresses()...)
	return s.save()
}

// Check drops and reports endpoints whose device has vanished, as it does when their namespace ends.
func (s *Set) Check() error {
	s.op.Lock()
	gone, err := s.vanished()
	for _, e := range gone {
		s.log.Warn("an endpoint's namespace is gone", "instance", e.InstanceKey, "generation", e.Generation, "interface", e.Interface)
		if dropErr := s.drop(e); dropErr != nil {
			err = dropErr
		}
	}
	s.op.Unlock()
	if len(gone) > 0 {
		s.changed()
	}
	if err != nil {
		return fmt.Errorf("check endpoints: %w", err)
	}
	return nil
}

func (s *Set) vanished() ([]*entry, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	present := make(map[int]string, len(links))
	for _, l := range links {
		present[l.Attrs().Index] = l.Attrs().Name
	}
	var gone []*entry
	for _, e := range s.all() {
		if present[e.ifindex] != e.Interface {
			gone = append(gone, e)
		}
	}
	return gone, nil
}
