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
	"github.com/oakestra/oakestra-ebpf/tools/bench/topology"
)

// vips opens the map of addresses of the client's worker.
func (o *Overlay) vips() (*ebpf.Map, error) { return o.pinned(o.a, "vips") }

// pinned opens one of a worker's maps.
func (o *Overlay) pinned(w *worker, name string) (*ebpf.Map, error) {
	found, err := filepath.Glob(filepath.Join(o.pair.Lab.BPFFS(), "oakestra", w.name, "v*", bpf.MapDir, name))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("find the pinned map %s of worker %s: %d maps: %w", name, w.name, len(found), err)
	}
	m, err := ebpf.LoadPinnedMap(found[0], nil)
	if err != nil {
		return nil, fmt.Errorf("open the pinned map %s of worker %s: %w", name, w.name, err)
	}
	return m, nil
}

// metByIPv4 waits until a worker has met the other one by the family that is measured, and its containers have the MTU of that: IPv6, which may
// have answered first, carries less.
func (o *Overlay) metByIPv4(ctx context.Context, w *worker) error {
	peers, err := o.pinned(w, "peers")
	if err != nil {
		return err
	}
	defer func() { _ = peers.Close() }()
	config, err := o.pinned(w, "config")
	if err != nil {
		return err
	}
	defer func() { _ = config.Close() }()
	return w.eventually(ctx, "the other worker is met by IPv4, and containers have its MTU", func() (bool, error) {
		var c bpf.Config
		if err := config.Lookup(uint32(0), &c); err != nil {
			return false, fmt.Errorf("read the configuration of worker %s: %w", w.name, err)
		}
		var index uint32
		var p bpf.Peer
		all := peers.Iterate()
		for all.Next(&index, &p) {
			if p.State == bpf.PeerUp && p.Outer.Netip().Is4() {
				return int(c.Mtu) == topology.UnderlayMTU-bpf.Overhead(true), nil
			}
		}
		if err := all.Err(); err != nil {
			return false, fmt.Errorf("read the peers of worker %s: %w", w.name, err)
		}
		return false, nil
	})
}

// has reports whether an address is in the map, and thereby all that it leads to: addresses are written last.
func has(m *ebpf.Map, a netip.Addr) bool {
	value := make([]byte, m.ValueSize())
	return m.Lookup(bpf.AddrFrom(a), &value) == nil
}

// Changes is how long changes of one instance took.
type Changes struct {
	// Published are from publishing the service's routes until the instance's own address, which is written last, is in the kernel.
	Published []time.Duration
	// ArrivedP50 and ArrivedP99 are of additions and removals, from the message's arrival in NetManager to every map changed, by its own account.
	ArrivedP50, ArrivedP99 time.Duration
}

// Change adds one instance to a service that no traffic goes through, n times over. Between two it is removed again.
func (o *Overlay) Change(ctx context.Context, n int) (out Changes, err error) {
	m, err := o.vips()
	if err != nil {
		return out, err
	}
	defer func() { _ = m.Close() }()
	if s := service(o.options.Services); s <= otherWorker || o.options.PerService >= maxInstances {
		return out, errors.New("change a service: there is none to change")
	}
	before, err := o.a.lag(ctx)
	if err != nil {
		return out, err
	}
	for range n {
		for _, instances := range []int{o.options.PerService + 1, o.options.PerService} {
			took, err := o.changeTo(ctx, m, instances)
			if err != nil {
				return out, err
			}
			if instances > o.options.PerService {
				out.Published = append(out.Published, took)
			}
			time.Sleep(time.Millisecond) // what follows of the removal
		}
	}
	after, err := o.a.lag(ctx)
	if err != nil {
		return out, err
	}
	changed, err := after.since(before)
	out.ArrivedP50, out.ArrivedP99 = changed.quantile(.5), changed.quantile(.99)
	return out, err
}

// changeTo gives the last service so many instances, one more or less than it has.
func (o *Overlay) changeTo(ctx context.Context, m *ebpf.Map, instances int) (time.Duration, error) {
	s := service(o.options.Services)
	payload, err := o.announcement(s, instances)
	if err != nil {
		return 0, err
	}
	last := s.instance(o.options.PerService).v4
	start := time.Now()
	if err := o.a.send(wire.TopicNetRoutes+s.id(), payload, false); err != nil {
		return 0, err
	}
	for has(m, last) != (instances > o.options.PerService) {
		if time.Since(start) > patience || ctx.Err() != nil {
			return 0, fmt.Errorf("change a service: nothing came of it in %v%s", time.Since(start), o.a.complaint())
		}
		time.Sleep(20 * time.Microsecond)
	}
	return time.Since(start), nil
}
