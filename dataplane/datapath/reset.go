// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"iter"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

const (
	// resetPasses is how often flows are listed: that of which the programs have not got its resets is tried again.
	resetPasses = 3
	// resetSenders is how many processors send at most. A reset is worked off by the one that sends it, all the way to its receiver.
	resetSenders = 4
	// resetBatch is how many flows are handed to a sender at a time.
	resetBatch = 64
)

// ResetBackends ends the TCP flows that this worker gave to instances that are gone: both ends are reset. Other flows find another instance at
// their next packet.
func (d *Datapath) ResetBackends(owners ...bpf.Owner) error {
	gone := make(map[bpf.Owner]bool, len(owners))
	for _, o := range owners {
		gone[o] = true
	}
	return d.reset(func(t bpf.FlowTable, err *error) iter.Seq2[bpf.FlowKey, bpf.Flow] {
		return t.Served(func(o bpf.Owner) bool { return gone[o] }, err)
	}, false)
}

// ResetForsaken does so with the flows of every instance that has its place in the map of backends no more: whoever took it away may have died
// before he could end them.
func (d *Datapath) ResetForsaken() error {
	there := map[bpf.Owner]bool{}
	var err error
	for index, b := range d.maps.Backends.All(&err) {
		if b.Generation != 0 {
			there[bpf.Owner{Backend: index, Slot: b.Slot}] = true
		}
	}
	if err != nil {
		return err
	}
	forsaken := func(o bpf.Owner) bool {
		if there[o] {
			return false
		}
		// Routes change meanwhile, and the flow may be of one who has come since.
		b, ok, err := d.maps.Backends.Lookup(o.Backend)
		return err == nil && (!ok || b.Generation == 0 || b.Slot != o.Slot)
	}
	return d.reset(func(t bpf.FlowTable, err *error) iter.Seq2[bpf.FlowKey, bpf.Flow] { return t.Served(forsaken, err) }, false)
}

// PurgeEndpoint ends every flow to or from the namespace addresses of an endpoint that is gone: both ends of TCP flows are reset, others are
// forgotten.
func (d *Datapath) PurgeEndpoint(addrs ...netip.Addr) error {
	gone := make(map[bpf.Addr]bool, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			gone[bpf.AddrFrom(a)] = true
		}
	}
	return d.reset(func(t bpf.FlowTable, err *error) iter.Seq2[bpf.FlowKey, bpf.Flow] {
		return func(yield func(bpf.FlowKey, bpf.Flow) bool) {
			for k, f := range t.All(err) {
				if (gone[k.Src] || gone[k.Dst] || gone[f.Src] || gone[f.Dst]) && !yield(k, f) {
					return
				}
			}
		}
	}, true)
}

// reset ends the flows of which one direction is listed. What cannot be reset is forgotten if forget says so.
func (d *Datapath) reset(list func(bpf.FlowTable, *error) iter.Seq2[bpf.FlowKey, bpf.Flow], forget bool) error {
	var errs []error
	for pass := range resetPasses {
		r := resetRun{table: d.maps.Flows().At(monotonic()), forget: forget}
		if pass < resetPasses-1 {
			r.resets = d.resets
		}
		var err error
		found := r.all(list(r.table, &err))
		errs = append(errs, err, r.err)
		if found == 0 {
			break
		}
	}
	return errors.Join(errs...)
}

// way is one of the two directions of a flow.
type way struct {
	key  bpf.FlowKey
	flow bpf.Flow
}

// resetRun is one pass over the flows.
type resetRun struct {
	table  bpf.FlowTable
	resets *resetter // nil: none are sent any more
	forget bool

	mu  sync.Mutex
	err error
}

// all ends listed flows while it goes on listing, and returns how many it has come across. To list a full table takes as long as to
// reset thousands of flows.
func (r *resetRun) all(listed iter.Seq2[bpf.FlowKey, bpf.Flow]) (found int) {
	work := make(chan []way, resetSenders)
	var senders sync.WaitGroup
	begun := 0
	hand := func(batch []way) {
		if len(batch) == 0 {
			return
		}
		if begun < min(resetSenders, runtime.GOMAXPROCS(0)) {
			begun++
			senders.Go(func() {
				for batch := range work {
					r.end(batch)
				}
			})
		}
		work <- batch
	}
	seen := map[bpf.FlowKey]bool{}
	var batch []way
	for key, flow := range listed {
		if flow.Flags&bpf.FlowDead != 0 || seen[key.Reverse(flow)] {
			continue // its other direction is being seen to
		}
		seen[key] = true
		if batch = append(batch, way{key, flow}); len(batch) == resetBatch {
			hand(slices.Clone(batch))
			batch = batch[:0]
		}
	}
	hand(batch)
	close(work)
	senders.Wait()
	return len(seen)
}

// end resets flows, or forgets them.
func (r *resetRun) end(batch []way) {
	var errs []error
	room := make([]byte, 0, resetFrame)
	for _, d := range batch {
		rkey := d.key.Reverse(d.flow)
		reverse, ok, err := r.table.Lookup(rkey)
		if err != nil {
			errs = append(errs, err)
		}
		// Both have acknowledged something: else there is no number that either would believe. A caller that is still waiting
		// for an answer tries again, and finds another instance.
		known := ok && d.key.Proto == unix.IPPROTO_TCP && d.flow.Seen&reverse.Seen&bpf.SeenACK != 0 && d.flow.Flags&bpf.FlowClosed == 0
		if known && r.resets != nil && r.resets.flow(room, d.key, reverse.LastAck, rkey, d.flow.LastAck) == nil {
			continue
		}
		if r.forget {
			errs = append(errs, r.table.Delete(d.key), r.table.Delete(rkey))
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.mu.Lock()
		r.err = errors.Join(r.err, err)
		r.mu.Unlock()
	}
}
