// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// vips opens the map of addresses of the client's worker.
func (o *Overlay) vips() (*ebpf.Map, error) {
	found, err := filepath.Glob(filepath.Join(o.pair.Lab.BPFFS(), "oakestra", o.name("a"), "v*", bpf.MapDir, "vips"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("find the pinned addresses of worker %s: %d maps: %w", o.name("a"), len(found), err)
	}
	m, err := ebpf.LoadPinnedMap(found[0], nil)
	if err != nil {
		return nil, fmt.Errorf("open the pinned addresses: %w", err)
	}
	return m, nil
}

// has reports whether an address is in the map, and thereby all that it leads to: addresses are written last.
func has(m *ebpf.Map, a netip.Addr) bool {
	value := make([]byte, m.ValueSize())
	return m.Lookup(bpf.AddrFrom(a), &value) == nil
}

// Change adds one instance to a service that no traffic goes through, n times over, and returns how long each took: from publishing the
// service's routes until the instance's own address, which is written last, is in the kernel. Between two it is removed again.
func (o *Overlay) Change(ctx context.Context, n int) ([]time.Duration, error) {
	m, err := o.vips()
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Close() }()
	s := service(o.options.Services)
	if s <= otherWorker || o.options.PerService >= maxInstances {
		return nil, errors.New("change a service: there is none to change")
	}
	with := o.options.PerService + 1
	added := s.instance(with - 1).v4
	var out []time.Duration
	for range n {
		for _, instances := range []int{with, with - 1} {
			payload, err := o.announcement(s, instances)
			if err != nil {
				return nil, err
			}
			start := time.Now()
			if err := o.a.send(wire.TopicNetRoutes+s.id(), payload, false); err != nil {
				return nil, err
			}
			for has(m, added) != (instances == with) {
				if time.Since(start) > patience || ctx.Err() != nil {
					return nil, fmt.Errorf("change a service: nothing came of it in %v%s", time.Since(start), o.a.complaint())
				}
				time.Sleep(20 * time.Microsecond)
			}
			if instances == with {
				out = append(out, time.Since(start))
			}
			time.Sleep(time.Millisecond) // what follows of the removal
		}
	}
	return out, nil
}
