// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func worker(id string, cpu float64, mem int64) Candidate {
	s := wire.Slot{VCPUs: cpu, MemoryMB: mem, StorageMB: 1000}
	return Candidate{ID: id, Name: "name-" + id, Arch: "amd64", Runtimes: []string{"container"}, Capacity: s, Free: s}
}

func TestPlace(t *testing.T) {
	small := wire.Slot{VCPUs: 1, MemoryMB: 100}
	used := worker("b", 4, 4000)
	used.Free.MemoryMB = 500
	taken := worker("a", 4, 4000)
	taken.Ports = []wire.Port{{Host: 80, Container: 80, Protocol: "tcp"}}
	listening := worker("a", 4, 4000)
	listening.UsedPorts = wire.HostPorts{TCP: []uint16{22, 80}, UDP: []uint16{53}}
	away := worker("a", 4, 4000)
	away.Unavailable = "was last heard of 9 s ago"
	same := worker("a", 8, 8000)
	same.SameService = 1
	for name, tc := range map[string]struct {
		req        Request
		candidates []Candidate
		strategy   Strategy
		want       string
		kind       Kind
		why        string
	}{
		"none":         {req: Request{}, kind: Unqualified, why: "there is no candidate"},
		"tie by id":    {req: Request{Need: small}, candidates: []Candidate{worker("b", 4, 4000), worker("a", 4, 4000)}, want: "a"},
		"most free":    {req: Request{Need: small}, candidates: []Candidate{used, worker("c", 4, 4000)}, want: "c"},
		"best fit":     {req: Request{Need: small}, candidates: []Candidate{worker("c", 4, 4000), used}, strategy: BestFit, want: "b"},
		"spread first": {req: Request{Need: small}, candidates: []Candidate{same, used}, want: "b"},
		"arch": {req: Request{Architectures: []string{"arm64"}}, candidates: []Candidate{worker("a", 4, 4000)},
			kind: Unqualified, why: "name-a: has architecture amd64, the service needs arm64"},
		"runtime": {req: Request{Runtime: "unikernel"}, candidates: []Candidate{worker("a", 4, 4000)},
			kind: Unqualified, why: "name-a: does not offer runtime unikernel (it offers container)"},
		"memory": {req: Request{Need: wire.Slot{MemoryMB: 600}}, candidates: []Candidate{used},
			kind: Full, why: "name-b: memory: needs 600 MiB, 500 MiB free"},
		"gpu": {req: Request{Need: wire.Slot{GPUs: 1}}, candidates: []Candidate{used}, kind: Full, why: "name-b: GPU: needs 1, 0 free"},
		"direct": {req: Request{Nodes: []string{"name-b"}}, candidates: []Candidate{worker("a", 4, 4000), used}, want: "b",
			kind: Unqualified, why: "name-a: is not among the nodes that the service names (name-b)"},
		"port": {req: Request{Ports: []wire.Port{{Host: 80, Protocol: "tcp"}}}, candidates: []Candidate{taken},
			kind: Full, why: "name-a: host port 80/tcp is taken there by another instance"},
		"port of a process": {req: Request{Ports: []wire.Port{{Host: 53, Protocol: "udp"}}}, candidates: []Candidate{listening},
			kind: Full, why: "name-a: host port 53/udp is in use there by a process of the worker"},
		"process on another worker": {req: Request{Ports: []wire.Port{{Host: 80, Protocol: "tcp"}}}, want: "b",
			candidates: []Candidate{listening, worker("b", 1, 100)}},
		"other protocol": {req: Request{Ports: []wire.Port{{Host: 80, Protocol: "udp"}}}, candidates: []Candidate{taken}, want: "a"},
		"away": {req: Request{Need: small}, candidates: []Candidate{away}, kind: Unavailable,
			why: "name-a: was last heard of 9 s ago"},
		"excluded": {req: Request{Exclude: map[string]string{"a": "holds the older copy"}}, candidates: []Candidate{worker("a", 4, 4000)},
			kind: Unavailable, why: "name-a: holds the older copy"},
		"closest refusal first": {req: Request{Need: wire.Slot{VCPUs: 9}}, candidates: []Candidate{away, worker("z", 4, 1)},
			kind: Full, why: "name-z: vCPU: needs 9, 4 free | name-a: was last heard of 9 s ago"},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := Place(tc.req, tc.candidates, tc.strategy)
			require.Equal(t, tc.want, got.ID)
			if tc.want == "" {
				require.False(t, got.Found())
				require.Equal(t, tc.kind, why.Kind())
			} else {
				require.Equal(t, tc.want, tc.candidates[got.Index].ID)
			}
			if tc.why != "" {
				require.Equal(t, tc.why, why.String())
			}
		})
	}
}

func TestThreeInstancesOnTwoEqualWorkersLandTwoAndOne(t *testing.T) {
	workers := []Candidate{worker("a", 4, 4000), worker("b", 4, 4000)}
	count := map[string]int{}
	for range 3 {
		req := Request{Need: wire.Slot{VCPUs: 1, MemoryMB: 64}}
		p, why := Place(req, workers, Spread)
		require.True(t, p.Found(), why)
		workers[p.Index].Reserve(req)
		count[p.ID]++
	}
	require.Equal(t, map[string]int{"a": 2, "b": 1}, count)
}

func TestExplanationIsBounded(t *testing.T) {
	var all []Candidate
	for i := range 100 {
		all = append(all, worker(fmt.Sprint(i), 1, 1))
	}
	_, why := Place(Request{Need: wire.Slot{VCPUs: 2}}, all, Spread)
	require.Contains(t, why.String(), "and 92 more")
}

// Whatever is asked of whatever candidates, no candidate is ever given more than it has, nor a host port twice; and an
// instance is refused only if it fits nowhere.
func TestNeverOverbooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slot := rapid.Custom(func(t *rapid.T) wire.Slot {
			return wire.Slot{VCPUs: float64(rapid.IntRange(0, 4).Draw(t, "cpu")), MemoryMB: rapid.Int64Range(0, 512).Draw(t, "mem"),
				StorageMB: rapid.Int64Range(0, 100).Draw(t, "disk"), GPUs: rapid.IntRange(0, 1).Draw(t, "gpu")}
		})
		workers := make([]Candidate, rapid.IntRange(0, 5).Draw(t, "workers"))
		for i := range workers {
			s := slot.Draw(t, "capacity")
			workers[i] = Candidate{ID: fmt.Sprint("w", i), Arch: "amd64", Capacity: s, Free: s}
		}
		strategy := rapid.SampledFrom([]Strategy{"", Spread, BestFit}).Draw(t, "strategy")
		for range rapid.IntRange(0, 30).Draw(t, "instances") {
			req := Request{Need: slot.Draw(t, "need")}
			if rapid.Bool().Draw(t, "port") {
				req.Ports = []wire.Port{{Host: uint16(rapid.IntRange(1, 3).Draw(t, "host")), Protocol: "tcp"}}
			}
			p, why := Place(req, workers, strategy)
			if !p.Found() {
				require.Len(t, why.Rejections, len(workers))
				continue
			}
			workers[p.Index].Reserve(req)
		}
		for _, w := range workers {
			if !Fits(wire.Slot{}, w.Free) {
				t.Fatalf("%s is overbooked: %+v", w.ID, w.Free)
			}
			seen := map[uint16]bool{}
			for _, p := range w.Ports {
				if seen[p.Host] {
					t.Fatalf("%s has port %d twice", w.ID, p.Host)
				}
				seen[p.Host] = true
			}
		}
	})
}
