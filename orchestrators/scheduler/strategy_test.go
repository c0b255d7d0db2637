// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestStrategies(t *testing.T) {
	small := wire.Slot{VCPUs: 1, MemoryMB: 100}
	used := worker("b", 4, 4000)
	used.Free.MemoryMB = 500
	for name, tc := range map[string]struct {
		req        Request
		candidates []Candidate
		same       map[string]int
		strategy   Strategy
		want, why  string
	}{
		"none":         {why: "there is no candidate"},
		"tie by id":    {req: Request{Need: small}, candidates: []Candidate{worker("b", 4, 4000), worker("a", 4, 4000)}, want: "a"},
		"most free":    {req: Request{Need: small}, candidates: []Candidate{used, worker("c", 4, 4000)}, want: "c"},
		"best fit":     {req: Request{Need: small}, candidates: []Candidate{worker("c", 4, 4000), used}, strategy: BestFit, want: "b"},
		"spread first": {req: Request{Need: small}, candidates: []Candidate{worker("a", 8, 8000), used}, same: map[string]int{"a": 1}, want: "b"},
		"by size":      {candidates: []Candidate{{ID: "a", Weight: 4}, {ID: "b", Weight: 1}}, same: map[string]int{"a": 3, "b": 1}, want: "a"},
		"evenly, whatever the size": {req: Request{Even: true}, candidates: []Candidate{{ID: "a", Weight: 4}, {ID: "b", Weight: 1}},
			same: map[string]int{"a": 3, "b": 1}, want: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPool(tc.candidates)
			tc.req.Service = "s"
			for site, n := range tc.same {
				p.Count("s", site, n)
			}
			got, why := p.Place(&tc.req, tc.strategy)
			require.Equal(t, tc.want, got.ID)
			if tc.why != "" {
				require.Equal(t, tc.why, why.String())
			}
		})
	}
}

// Latency- and distance-aware placement prefers what is near, spreads over what is equally near, and takes what is within the slack of the
// demand's rigidness only when nothing else is left.
func TestLDPPrefersTheNearAndSpreadsOverTheEquallyNear(t *testing.T) {
	var all []Candidate
	for i, ms := range []float64{1, 1.2, 9, 11, 14} {
		c := worker(fmt.Sprint("w", i), 2, 4000)
		c.Where.Coordinate = &wire.Coordinate{Vector: [3]float64{ms}}
		all = append(all, c)
	}
	p := NewPool(all)
	demand := DemandOf(&wire.Proximity{Kind: wire.ProximityLatency, Threshold: 10, Rigidness: 0.8, Name: "the camera",
		Points: []wire.Point{{Coordinate: &wire.Coordinate{}}}})
	require.InDelta(t, 12.5, demand.Limit, 1e-9)
	var order []string
	for range 8 {
		got, why := p.PlaceAndReserve(&Request{Service: "s", Need: wire.Slot{VCPUs: 1}, Near: []Demand{demand}}, Spread)
		require.True(t, got.Found())
		require.Equal(t, "ldp", why.Strategy)
		order = append(order, got.ID)
	}
	require.Equal(t, []string{"w0", "w1", "w0", "w1", "w2", "w2", "w3", "w3"}, order)
	_, why := p.Place(&Request{Service: "s", Need: wire.Slot{VCPUs: 1}, Near: []Demand{demand}}, Spread)
	require.Contains(t, why.String(), "w4: is 14.0 ms from the camera (estimated from measured round trips), the service allows 12.5")
	require.Equal(t, wire.RefusalFull, why.Kind())
}

func TestADemandOnAServiceOfWhichNothingRunsIsMet(t *testing.T) {
	p := NewPool([]Candidate{worker("a", 1, 1)})
	d := DemandOf(&wire.Proximity{Kind: wire.ProximityLatency, Threshold: 10, Service: "5e", Name: "the database"})
	got, why := p.Place(&Request{Near: []Demand{d}}, Spread)
	require.True(t, got.Found())
	require.Equal(t, []string{"nothing of the database runs yet, so that any place is near enough"}, why.Notes)
}

func TestABurstIsSpreadEvenly(t *testing.T) {
	var workers []Candidate
	for i := range 100 {
		workers = append(workers, worker(fmt.Sprintf("w%02d", i), 16, 16000))
	}
	for name, service := range map[string]func(int) string{
		"of one service":     func(int) string { return "s" },
		"of as many":         func(i int) string { return fmt.Sprint(i) },
		"that asks for none": func(i int) string { return fmt.Sprint("none", i) },
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPool(workers)
			count := map[string]int{}
			for i := range 1000 {
				req := Request{Service: service(i), Need: wire.Slot{VCPUs: 1, MemoryMB: 64}}
				if name == "that asks for none" {
					req.Need = wire.Slot{}
				}
				got, why := p.PlaceAndReserve(&req, Spread)
				require.True(t, got.Found(), why.String())
				count[got.ID]++
			}
			require.Len(t, count, 100)
			for id, n := range count {
				require.Equal(t, 10, n, id)
			}
		})
	}
}

// An explanation counts all candidates and names some of each reason, those closest to a placement first.
func TestExplanationCountsAllAndNamesSome(t *testing.T) {
	var all []Candidate
	for i := range 100 {
		c := worker(fmt.Sprintf("%02d", i), 1, 1)
		if i%2 == 0 {
			c.Arch = "arm64"
		}
		all = append(all, c)
	}
	_, why := NewPool(all).Place(&Request{Architectures: []string{"amd64"}, Need: wire.Slot{VCPUs: 2}}, Spread)
	require.Equal(t, []wire.RefusalCount{{Reason: "vcpus", Kind: wire.RefusalFull, Count: 50},
		{Reason: "architecture", Kind: wire.RefusalUnqualified, Count: 50}}, why.Refusals)
	require.Len(t, why.Rejections, 6)
	require.Equal(t, "name-01: vCPU: needs 2, 1 free", why.Rejections[0].String())
	require.Contains(t, why.String(), "name-04: has architecture arm64, the service needs amd64 | and 94 more")
}
