// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Pools are held against a plain model: every candidate's amounts, ports and counts written out, every request looked at anew.

type modelWorker struct {
	Candidate
	held []*Request
}

func (w *modelWorker) free() wire.Slot {
	free := w.Capacity
	for _, r := range w.held {
		free = Sub(free, r.Need)
	}
	return free
}

// takes says whether the worker can take the request, with none of the pool's ways of doing so.
func (w *modelWorker) takes(r *Request) bool {
	free := w.free()
	ok := w.Unavailable == "" && r.Exclude[w.ID] == "" &&
		(r.Need.VCPUs == 0 || r.Need.VCPUs <= free.VCPUs) && (r.Need.MemoryMB == 0 || r.Need.MemoryMB <= free.MemoryMB) &&
		(r.Need.GPUs == 0 || r.Need.GPUs <= free.GPUs) && (r.Need.BandwidthOut == 0 || r.Need.BandwidthOut <= free.BandwidthOut) &&
		(len(r.Architectures) == 0 || slices.Contains(r.Architectures, w.Arch)) &&
		(len(r.Nodes) == 0 || slices.Contains(r.Nodes, w.Name))
	for _, a := range r.Addons {
		ok = ok && slices.Contains(w.Addons, a)
	}
	for _, p := range r.Ports {
		ok = ok && !w.UsedPorts.Has(p)
		for _, h := range w.held {
			ok = ok && !slices.ContainsFunc(h.Ports, p.SameHost)
		}
	}
	return ok
}

// Whatever is placed, given back, drained, shrunk or grown, in whatever order: no candidate is given more than it has, no host port twice, an
// instance is refused only if it fits nowhere, and the explanation counts every candidate.
func TestRandomSequences(t *testing.T) {
	amount := rapid.Custom(func(t *rapid.T) wire.Slot {
		return wire.Slot{VCPUs: float64(rapid.IntRange(0, 4).Draw(t, "cpu")), MemoryMB: rapid.Int64Range(0, 512).Draw(t, "mem"),
			GPUs: rapid.IntRange(0, 1).Draw(t, "gpu"), BandwidthOut: rapid.Int64Range(0, 2).Draw(t, "out")}
	})
	request := rapid.Custom(func(t *rapid.T) *Request {
		r := &Request{Service: rapid.SampledFrom([]string{"s", "t"}).Draw(t, "service"), Need: amount.Draw(t, "need")}
		switch rapid.IntRange(0, 5).Draw(t, "asks") {
		case 0:
			r.Ports = []wire.Port{{Host: uint16(rapid.IntRange(1, 3).Draw(t, "host")), Protocol: "tcp"}}
		case 1:
			r.Architectures = []string{rapid.SampledFrom([]string{"amd64", "arm64"}).Draw(t, "arch")}
		case 2:
			r.Nodes = []string{fmt.Sprint("n", rapid.IntRange(0, 5).Draw(t, "node"))}
		case 3:
			r.Exclude = map[string]string{fmt.Sprint("w", rapid.IntRange(0, 5).Draw(t, "out")): "refused it"}
		case 4:
			r.Addons = []string{"camera"}
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		model := make([]*modelWorker, rapid.IntRange(0, 6).Draw(t, "workers"))
		var candidates []Candidate
		for i := range model {
			s := amount.Draw(t, "capacity")
			c := Candidate{ID: fmt.Sprint("w", i), Name: fmt.Sprint("n", i), Arch: rapid.SampledFrom([]string{"amd64", "arm64"}).Draw(t, "arch"),
				Capacity: s, Free: s, UsedPorts: wire.HostPorts{TCP: []uint16{uint16(rapid.IntRange(3, 6).Draw(t, "used"))}}}
			if rapid.Bool().Draw(t, "camera") {
				c.Addons = []string{"camera"}
			}
			model[i] = &modelWorker{Candidate: c}
			candidates = append(candidates, c)
		}
		p := NewPool(candidates)
		strategy := rapid.SampledFrom([]Strategy{"", Spread, BestFit}).Draw(t, "strategy")
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			what := rapid.IntRange(0, 6).Draw(t, "what")
			if what <= 3 || len(model) == 0 {
				req := request.Draw(t, "request")
				got, why := p.PlaceAndReserve(req, strategy)
				fits := 0
				for _, w := range model {
					if w.takes(req) {
						fits++
					}
				}
				refused := 0
				for _, r := range why.Refusals {
					refused += r.Count
				}
				if why.Feasible != fits || refused != len(model)-fits || got.Found() != (fits > 0) {
					t.Fatalf("%d of %d can take %+v, but: %+v %+v", fits, len(model), req, got, why)
				}
				if got.Found() {
					w := model[p.index[got.ID]]
					if !w.takes(req) {
						t.Fatalf("%s was given %+v, which it cannot take", got.ID, req)
					}
					w.held = append(w.held, req)
				}
				continue
			}
			w := model[rapid.IntRange(0, len(model)-1).Draw(t, "worker")]
			switch what {
			case 4: // an instance ends, or its worker gives it back
				if len(w.held) == 0 {
					continue
				}
				n := rapid.IntRange(0, len(w.held)-1).Draw(t, "which")
				p.Release(w.ID, w.held[n])
				w.held = slices.Delete(w.held, n, n+1)
				continue
			case 5: // it is drained, or back
				w.Unavailable = rapid.SampledFrom([]string{"", "is being drained"}).Draw(t, "drain")
			case 6: // it has more or less than before
				w.Capacity = amount.Draw(t, "capacity")
			}
			c := w.Candidate
			c.Free = w.free()
			p.Set(c)
		}
		for _, w := range model {
			c, _ := p.Candidate(w.ID)
			if c.Free != w.free() {
				t.Fatalf("%s has %+v free, not %+v", w.ID, w.free(), c.Free)
			}
		}
	})
}

func TestAPortThatTwoHaveIsFreeOnceBothAreGone(t *testing.T) {
	p := NewPool([]Candidate{worker("a", 1, 1)})
	req := &Request{Ports: []wire.Port{tcp(80)}}
	for range 3 {
		p.Reserve("a", req)
	}
	for range 3 {
		got, _ := p.Place(req, Spread)
		require.False(t, got.Found())
		p.Release("a", req)
	}
	got, _ := p.Place(req, Spread)
	require.True(t, got.Found())
}

// Candidates of one site share the count of a service's instances, and what is excluded.
func TestSites(t *testing.T) {
	group := func(id, site, arch string) Candidate {
		return Candidate{ID: id, Site: site, Name: site, Arch: arch, Capacity: wire.Slot{VCPUs: 8}, Free: wire.Slot{VCPUs: 8}}
	}
	p := NewPool([]Candidate{group("m/amd64", "m", "amd64"), group("m/arm64", "m", "arm64"), group("n/amd64", "n", "amd64")})
	req := &Request{Service: "s", Need: wire.Slot{VCPUs: 1}}
	p.Count("s", "m", 1)
	got, why := p.Place(req, Spread)
	require.Equal(t, "n", got.Site)
	require.Equal(t, "n", why.Chosen.ID)
	req.Exclude = map[string]string{"m": "could not place it"}
	p.Count("s", "n", 5)
	got, why = p.Place(req, Spread)
	require.Equal(t, "n", got.Site)
	require.Equal(t, []wire.RefusalCount{{Reason: "excluded", Kind: wire.RefusalUnavailable, Count: 2}}, why.Refusals)
	p.Take("n/amd64", wire.Slot{VCPUs: 8})
	got, why = p.Place(req, Spread)
	require.False(t, got.Found())
	require.Equal(t, wire.RefusalFull, why.Kind())
}

// Whatever workers there are, what fits on one of them fits in the slots that stand for them all, and these are few.
func TestSlotsStandForAllWorkers(t *testing.T) {
	slot := rapid.Custom(func(t *rapid.T) wire.Slot {
		return wire.Slot{VCPUs: float64(rapid.IntRange(0, 20).Draw(t, "cpu")), MemoryMB: rapid.Int64Range(0, 20).Draw(t, "mem"),
			StorageMB: rapid.Int64Range(0, 20).Draw(t, "disk")}
	})
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.SliceOfN(slot, 0, 40).Draw(t, "workers")
		var slots []wire.Slot
		for _, w := range workers {
			slots = AddSlot(slots, w)
		}
		if len(slots) > wire.MaxSlots {
			t.Fatalf("%d slots", len(slots))
		}
		need := slot.Draw(t, "need")
		one := slices.ContainsFunc(workers, func(w wire.Slot) bool { return Fits(need, w) })
		if one && !slices.ContainsFunc(slots, func(s wire.Slot) bool { return Fits(need, s) }) {
			t.Fatalf("%+v fits on a worker, but not in %+v", need, slots)
		}
		if len(workers) <= wire.MaxSlots && !one && slices.ContainsFunc(slots, func(s wire.Slot) bool { return Fits(need, s) }) && need != (wire.Slot{}) {
			t.Fatalf("%+v fits on no worker, but in %+v", need, slots)
		}
	})
}
