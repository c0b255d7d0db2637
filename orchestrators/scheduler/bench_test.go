// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// crowd returns workers of many kinds, the same for the same number.
func crowd(n int) []Candidate {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	workers := make([]Candidate, n)
	for i := range workers {
		s := wire.Slot{VCPUs: float64(int(2) << rng.IntN(5)), MemoryMB: 1024 << rng.IntN(6), StorageMB: 20_000 << rng.IntN(4),
			BandwidthIn: 100_000 * int64(1+rng.IntN(10)), BandwidthOut: 100_000 * int64(1+rng.IntN(10))}
		if rng.IntN(5) == 0 {
			s.GPUs = 1 + rng.IntN(4)
		}
		w := Candidate{ID: fmt.Sprintf("%024x", rng.Uint64()), Name: fmt.Sprint("worker-", i), Arch: pick("amd64", "amd64", "arm64", "riscv64"),
			Runtimes: []string{"container"}, Capacity: s, Free: s}
		if rng.IntN(2) == 0 {
			w.Runtimes = append(w.Runtimes, "unikernel")
		}
		for _, a := range []string{"image-builder", "camera", "lidar"} {
			if rng.IntN(2) == 0 {
				w.Addons = append(w.Addons, a)
			}
		}
		if rng.IntN(2) == 0 {
			w.VolumeDrivers = []string{"csi.oakestra.io", "hostpath"}
		}
		w.UsedPorts = wire.HostPorts{TCP: []uint16{22, uint16(8000 + rng.IntN(50))}}
		if rng.IntN(20) == 0 {
			w.Unavailable = "has not been heard of since 2026-01-01T00:00:00Z"
		}
		w.Where.Location = &wire.Location{Latitude: 47 + rng.Float64()*7, Longitude: 6 + rng.Float64()*8}
		if rng.IntN(3) > 0 {
			w.Where.Coordinate = &wire.Coordinate{Vector: [3]float64{rng.Float64() * 20, rng.Float64() * 20, 0}, Height: rng.Float64(), Error: 0.1}
		}
		workers[i] = w
	}
	return workers
}

// wishes returns requests of many kinds, every filter in each; all have a place among some hundred workers of [crowd].
func wishes(n int) []Request {
	rng := rand.New(rand.NewPCG(uint64(n), 9))
	out := make([]Request, n)
	for i := range out {
		r := Request{
			Service: fmt.Sprintf("%024x", i), Architectures: []string{"amd64", "arm64"}, Runtime: "container",
			Need: wire.Slot{VCPUs: float64(rng.IntN(2)), MemoryMB: int64(16 + rng.IntN(64)), StorageMB: int64(rng.IntN(200)),
				BandwidthIn: int64(rng.IntN(500)), BandwidthOut: int64(rng.IntN(500))},
			Denied: []string{"another"}, Addons: []string{"camera"}, VolumeDrivers: []string{"hostpath"},
			Ports: []wire.Port{{Host: uint16(8000 + rng.IntN(2000)), Protocol: "tcp"}},
			Near: []Demand{
				{Kind: wire.ProximityGeo, Threshold: 500, Limit: 500, Name: "Munich",
					Targets: []Target{{Point: wire.Point{Location: &wire.Location{Latitude: 48.1 + rng.Float64(), Longitude: 11.5}}}}},
				{Kind: wire.ProximityLatency, Threshold: 20, Limit: 25, Name: "the gateway", Service: true,
					Targets: []Target{{Point: wire.Point{Location: &wire.Location{Latitude: 50, Longitude: 8},
						Coordinate: &wire.Coordinate{Vector: [3]float64{10, 10, 0}, Height: 0.5, Error: 0.1}}}}},
			},
			Exclude: map[string]string{fmt.Sprintf("%024x", i): "could not take it"},
		}
		if i%10 == 0 {
			r.Need.GPUs = 1
		}
		out[i] = r
	}
	return out
}

// BenchmarkPlace places, reserves and explains, with as many instances placed all the while as there are workers, of 200 services.
func BenchmarkPlace(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := NewPool(crowd(n))
			requests := wishes(200)
			type placed struct {
				id  string
				req *Request
			}
			var ring []placed
			at, refused := 0, 0
			place := func(i int) {
				req := &requests[i%len(requests)]
				got, _ := p.PlaceAndReserve(req, Spread)
				if !got.Found() {
					refused++
				}
				if len(ring) < n {
					ring = append(ring, placed{got.ID, req})
					return
				}
				p.Release(ring[at].id, ring[at].req)
				ring[at] = placed{got.ID, req}
				at = (at + 1) % n
			}
			for i := range n {
				place(i)
			}
			refused = 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				place(i)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "placements/s")
			b.ReportMetric(float64(refused)/float64(b.N), "refused/op")
		})
	}
}
