// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Pool is a set of candidates on which instances are placed one after the other. Indices into its slices are places in the order of ids.
type Pool struct {
	candidates []Candidate
	hot        []hot
	index      map[string]int32
	sites      map[string]int32

	ports    map[portKey]*holders
	services map[string]*tally
	dense    int // tallies that hold a dense count
	classes  map[string]*class
	key      []byte // scratch
}

// hot is what every placement reads of every candidate.
type hot struct {
	free wire.Slot
	// perVCPU and perMB are one over the capacity, or over what was free if that was more.
	perVCPU, perMB float64
	// perWorker is one over the site's weight.
	perWorker float32
	site      int32
	instances int32
	away      bool
	many      bool // Slots count
}

// tally counts the instances of one service by site. All is in counts; dense, by site, is made of it for services that are being placed.
type tally struct {
	counts map[int32]int32
	dense  []int32
}

// maxEntries bounds what is remembered of classes and services: entries of one candidate each. Whoever passes it starts anew.
const maxEntries = 4 << 20

// NewPool returns a pool of candidates, each with nothing reserved but what its Free amounts lack already. Of two with one id the later counts.
func NewPool(candidates []Candidate) *Pool {
	p := &Pool{index: map[string]int32{}, sites: map[string]int32{}, ports: map[portKey]*holders{}, services: map[string]*tally{},
		classes: map[string]*class{}}
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b Candidate) int { return cmp.Compare(a.ID, b.ID) })
	for i, c := range sorted {
		if i+1 < len(sorted) && sorted[i+1].ID == c.ID {
			continue
		}
		p.index[c.ID] = int32(len(p.candidates)) //nolint:gosec // there are no 2³¹ candidates
		p.candidates = append(p.candidates, c)
	}
	p.hot = make([]hot, len(p.candidates))
	for i := range p.candidates {
		p.heat(int32(i)) //nolint:gosec // likewise
		p.claimProcesses(int32(i), true)
	}
	return p
}

// heat fills what placements read of a candidate.
func (p *Pool) heat(i int32) {
	c, h := &p.candidates[i], &p.hot[i]
	site := cmp.Or(c.Site, c.ID)
	n, ok := p.sites[site]
	if !ok {
		n = int32(len(p.sites)) //nolint:gosec // there are no 2³¹ sites
		p.sites[site] = n
	}
	h.free, h.site, h.away, h.many = c.Free, n, c.Unavailable != "", c.Slots != nil
	h.perWorker = 1 / float32(max(c.Weight, 1))
	h.perVCPU, h.perMB = 0, 0
	if capacity := max(c.Capacity.VCPUs, c.Free.VCPUs); capacity > 0 {
		h.perVCPU = 1 / capacity
	}
	if capacity := max(c.Capacity.MemoryMB, c.Free.MemoryMB); capacity > 0 {
		h.perMB = 1 / float64(capacity)
	}
}

// Len returns how many candidates there are.
func (p *Pool) Len() int { return len(p.candidates) }

// IDs returns the ids of all candidates, in order.
func (p *Pool) IDs() []string {
	return slices.SortedFunc(maps.Keys(p.index), cmp.Compare)
}

// Candidate returns one candidate with what it has free now; ok is false if there is none.
func (p *Pool) Candidate(id string) (c Candidate, ok bool) {
	i, ok := p.index[id]
	if !ok {
		return c, false
	}
	c = p.candidates[i]
	c.Free = p.hot[i].free
	return c, true
}

// Set replaces what is known of a candidate, which keeps its id, its place in the order and the reservations of ports and services. Its Free
// has to lack what is reserved on it. It does nothing to a candidate that is not in the pool.
func (p *Pool) Set(c Candidate) {
	i, ok := p.index[c.ID]
	if !ok {
		return
	}
	p.claimProcesses(i, false)
	p.candidates[i] = c
	p.heat(i)
	p.claimProcesses(i, true)
	clear(p.classes)
}

// Reserve takes what an instance needs out of a candidate: amounts, host ports, and its place in the service's count.
func (p *Pool) Reserve(id string, req *Request) {
	if i, ok := p.index[id]; ok {
		p.reserve(i, req)
	}
}

func (p *Pool) reserve(i int32, req *Request) {
	h := &p.hot[i]
	h.free = Sub(h.free, req.Need)
	h.instances++
	p.count(req.Service, h.site, 1)
	for _, port := range req.Ports {
		p.holdersOf(port).taken.add(i)
	}
}

// Release gives back what [Pool.Reserve] took.
func (p *Pool) Release(id string, req *Request) {
	i, ok := p.index[id]
	if !ok {
		return
	}
	h := &p.hot[i]
	h.free = Add(h.free, req.Need)
	h.instances--
	p.count(req.Service, h.site, -1)
	for _, port := range req.Ports {
		p.holdersOf(port).taken.remove(i)
	}
}

// Take takes amounts alone out of a candidate, such as for an instance that is counted elsewhere.
func (p *Pool) Take(id string, need wire.Slot) {
	if i, ok := p.index[id]; ok {
		p.hot[i].free = Sub(p.hot[i].free, need)
	}
}

// Count notes n more instances of a service at a site.
func (p *Pool) Count(service, site string, n int) {
	if s, ok := p.sites[site]; ok {
		p.count(service, s, int32(n)) //nolint:gosec // a service has some thousand instances at most
	}
}

func (p *Pool) count(service string, site, n int32) {
	t := p.services[service]
	if t == nil {
		t = &tally{counts: map[int32]int32{}}
		p.services[service] = t
	}
	if t.counts[site] += n; t.counts[site] == 0 {
		delete(t.counts, site)
	}
	if t.dense != nil {
		t.dense[site] += n
	}
}

// same returns the count of a service's instances by site.
func (p *Pool) same(service string) []int32 {
	t := p.services[service]
	if t == nil {
		t = &tally{counts: map[int32]int32{}}
		p.services[service] = t
	}
	if t.dense == nil {
		if p.dense++; p.dense*len(p.sites) > maxEntries {
			for _, other := range p.services {
				other.dense = nil
			}
			p.dense = 1
		}
		t.dense = make([]int32, len(p.sites))
		for site, n := range t.counts {
			t.dense[site] = n
		}
	}
	return t.dense
}
