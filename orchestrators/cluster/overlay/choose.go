// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"
	"slices"
)

// maxRoutes is how many instances of one service a worker is told: its own, those that it wants by their Instance IP, and a
// stable choice of the rest.
const maxRoutes = 64

// placeBits are those of a rank that say which instance it is of; their number is the most that one service may have, with room to spare.
const placeBits = 16

// choose says which routes w is told when there are too many, in order; nil stands for all. The choice of the rest depends on the
// worker and the instance alone, so that the coming and going of one instance moves no other. What it returns is good until the next call.
func (c *Core) choose(w *worker, b *built) []int32 {
	n := len(b.entries)
	if n <= maxRoutes {
		return nil
	}
	n = min(n, 1<<placeBits)
	ranks := c.scratch.ranks[:0]
	for _, a := range w.interest {
		if i, ok := b.byAddress[a]; ok && int(i) < n {
			ranks = append(ranks, uint64(i)) //nolint:gosec // a place in a list
		}
	}
	seed := hash64([]byte(w.id))
	// Ranks are as good as drawn by lot: twice as many as are wanted are below this bound, and to sort the others would be a waste.
	below := uint64(math.MaxUint64)
	if n > 4*maxRoutes {
		below = below / uint64(n) * 2 * maxRoutes
	}
	for {
		forced := len(ranks)
		for i := range b.entries[:n] {
			e := &b.entries[i]
			rank := mix(seed ^ e.mixed)
			if e.peer == w.id {
				rank = 0
			}
			if rank <= below && !slices.Contains(ranks[:forced], uint64(i)) { //nolint:gosec // a place in a list
				ranks = append(ranks, rank>>placeBits<<placeBits|uint64(i)) //nolint:gosec // a place in a list
			}
		}
		if len(ranks)-forced >= maxRoutes || below == math.MaxUint64 {
			break
		}
		ranks, below = ranks[:forced], math.MaxUint64
	}
	slices.Sort(ranks)
	chosen := c.scratch.chosen[:0]
	for _, r := range slices.Compact(ranks)[:maxRoutes] {
		chosen = append(chosen, int32(r&(1<<placeBits-1))) //nolint:gosec // no more than its bits
	}
	slices.Sort(chosen)
	c.scratch.ranks, c.scratch.chosen = ranks, chosen
	return chosen
}

// scratch is memory that is used again and again.
type scratch struct {
	ranks          []uint64
	chosen         []int32
	news           difference
	peers          set
	all, different []*entry
}

// hash64 is FNV-1a: the same in every process, so that a restart changes no choice.
func hash64(text []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range text {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// mix spreads the bits of a number over all of it: the end of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
