// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// AttachHost makes the worker's own host an endpoint, so that its processes call services as containers do. It appears as the worker's
// gateway addresses. It is no instance and in no list: no route leads to it, and its tag is known to nobody. What is right already
// is not touched.
func (s *Set) AttachHost(pair device.HostPair, addrs device.HostAddresses) error {
	s.op.Lock()
	defer s.op.Unlock()
	if err := s.attachHost(pair, addrs); err != nil {
		return fmt.Errorf("attach the host: %w", err)
	}
	return nil
}

func (s *Set) attachHost(pair device.HostPair, addrs device.HostAddresses) error {
	if err := s.cfg.Datapath.AttachContainer(pair.Far); err != nil {
		return fmt.Errorf("attach the program of %s: %w", device.HostFar, err)
	}
	have, _, err := s.cfg.Maps.Endpoints.Lookup(uint32(pair.Far))
	if err != nil {
		return err
	}
	want := bpf.Endpoint{
		Generation: 1, Ifindex: uint32(pair.Far), Tag: have.Tag, Flags: bpf.EndpointHost, Mac: pair.MAC, HostMac: pair.FarMAC,
	}
	want.Ns = [2]bpf.Addr{bpf.V4: bpf.AddrFrom(addrs.IPv4), bpf.V6: bpf.AddrFrom(addrs.IPv6)}
	want.Inst = want.Ns
	if want.Tag == 0 {
		want.Tag = newTag()
	}
	if have != want {
		if err := s.cfg.Maps.Endpoints.Put(want.Ifindex, want); err != nil {
			return err
		}
	}
	if err := s.enterHostAddresses(have, want); err != nil {
		return err
	}
	before := s.hostAt
	s.hostAt = pair.Far
	if before == 0 || before == pair.Far {
		return nil
	}
	// Somebody has removed the pair, and it was made anew. With its addresses went the host's routes that name them.
	_, err = s.configure(s.network)
	return errors.Join(err, s.cfg.Datapath.Detach(before), s.cfg.Maps.Endpoints.Delete(uint32(before)))
}

// enterHostAddresses has packets to the host's addresses find it, and ends the flows of addresses that it has no more.
func (s *Set) enterHostAddresses(have, want bpf.Endpoint) error {
	var gone []netip.Addr
	for family, a := range want.Ns {
		if was := have.Ns[family]; was != a && was != (bpf.Addr{}) {
			gone = append(gone, was.Netip())
			if err := s.cfg.Maps.Local.Delete(was); err != nil {
				return err
			}
		}
		if a == (bpf.Addr{}) {
			continue
		}
		at, ok, err := s.cfg.Maps.Local.Lookup(a)
		if err != nil {
			return err
		}
		if !ok || at != want.Ifindex {
			if err := s.cfg.Maps.Local.Put(a, want.Ifindex); err != nil {
				return err
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return s.cfg.Datapath.PurgeEndpoint(gone...)
}
