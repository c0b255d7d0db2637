// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// Reader reads one worker's datapath. It is for one goroutine.
type Reader struct {
	worker      pins.Worker
	maps        *bpf.Maps
	clock       Clock
	attachments []pins.Attachment
	attachErr   error
	names       map[uint32]string // of interfaces, by number
}

// Open opens the pinned maps and links of a worker. All ages are reckoned from clock.
func Open(w pins.Worker, clock Clock) (*Reader, error) {
	maps, err := w.Open()
	if err != nil {
		return nil, err
	}
	r := &Reader{worker: w, maps: maps, clock: clock, names: map[uint32]string{}}
	// Names of interfaces are an extra: without them all listings but the status still tell what they have to.
	r.attachments, r.attachErr = w.Attachments()
	for _, a := range r.attachments {
		if a.Interface != "" {
			r.names[uint32(a.Ifindex)] = a.Interface
		}
	}
	return r, nil
}

// Close closes the maps.
func (r *Reader) Close() error { return r.maps.Close() }

// attached reports whether the interface carries the container program.
func (r *Reader) attached(ifindex uint32) bool {
	for _, a := range r.attachments {
		if a.Kind == "container" && uint32(a.Ifindex) == ifindex && !a.Gone {
			return true
		}
	}
	return false
}

// collect reads the used entries of a table.
func collect[K comparable, V any](t bpf.Table[K, V], used func(V) bool) (map[K]V, error) {
	var err error
	out := map[K]V{}
	for k, v := range t.All(&err) {
		if used(v) {
			out[k] = v
		}
	}
	return out, err
}

func all[V any](V) bool { return true }

func (r *Reader) services() (map[uint32]bpf.Service, error) {
	return collect(r.maps.Services, func(s bpf.Service) bool { return s != bpf.Service{} })
}

func (r *Reader) backends() (map[uint32]bpf.Backend, error) {
	return collect(r.maps.Backends, func(b bpf.Backend) bool { return b.Generation != 0 })
}

func (r *Reader) peers() (map[uint32]bpf.Peer, error) {
	return collect(r.maps.Peers, func(p bpf.Peer) bool { return p.State != bpf.PeerFree })
}

func (r *Reader) endpoints() (map[uint32]bpf.Endpoint, error) {
	return collect(r.maps.Endpoints, all[bpf.Endpoint])
}

// routes is how service addresses lead to instances.
type routes struct {
	vips     map[bpf.Addr]bpf.VIP
	services map[uint32]bpf.Service
	backends map[uint32]bpf.Backend
	peers    map[uint32]bpf.Peer
	health   map[uint32]bpf.PeerHealth
	now      time.Duration
}

func (r *Reader) routes() (routes, error) {
	out := routes{now: r.clock.Monotonic}
	var errs [5]error
	out.vips, errs[0] = collect(r.maps.VIPs, all[bpf.VIP])
	out.services, errs[1] = r.services()
	out.backends, errs[2] = r.backends()
	out.peers, errs[3] = r.peers()
	out.health, errs[4] = r.health(out.peers)
	if err := errors.Join(errs[:]...); err != nil {
		return out, fmt.Errorf("read routes: %w", err)
	}
	return out, nil
}

// health reads round trips and signs of life of these peers.
func (r *Reader) health(of map[uint32]bpf.Peer) (map[uint32]bpf.PeerHealth, error) {
	out := make(map[uint32]bpf.PeerHealth, len(of))
	for index := range of {
		h, _, err := r.maps.PeerHealth.Lookup(index)
		if err != nil {
			return nil, err
		}
		out[index] = h
	}
	return out, nil
}

// answers mirrors how the programs judge a peer: it was met, and does not leave echoes unanswered.
func (t routes) answers(peer uint32) bool {
	return t.peers[peer].State == bpf.PeerUp && !t.health[peer].Silent(t.now)
}

// usable mirrors how the programs judge a backend: it is here, or at a peer that answers.
func (t routes) usable(b bpf.Backend) bool {
	return b.Generation != 0 && (b.Peer == 0 || t.answers(b.Peer))
}

// listed returns the backends of a service, in the order in which they are taken.
func listed(s bpf.Service) []uint32 {
	return s.Backends[:min(int(s.Count), len(s.Backends))]
}

// Clock is the moment that all ages are reckoned from.
func (r *Reader) Clock() Clock { return r.clock }
