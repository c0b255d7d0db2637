// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func worker(id string, cpu float64, mem int64) Candidate {
	s := wire.Slot{VCPUs: cpu, MemoryMB: mem, StorageMB: 1000}
	return Candidate{ID: id, Name: "name-" + id, Arch: "amd64", Runtimes: []string{"container"}, Capacity: s, Free: s}
}

func tcp(host uint16) wire.Port { return wire.Port{Host: host, Container: 80, Protocol: "tcp"} }

func TestFilters(t *testing.T) {
	small := wire.Slot{VCPUs: 1, MemoryMB: 100}
	with := func(change func(*Candidate)) Candidate {
		c := worker("a", 4, 4000)
		change(&c)
		return c
	}
	away := with(func(c *Candidate) { c.Unavailable = "was last heard of 9 s ago" })
	munich, berlin := &wire.Location{Latitude: 48.14, Longitude: 11.58}, &wire.Location{Latitude: 52.52, Longitude: 13.4}
	at := func(l *wire.Location) Candidate { return with(func(c *Candidate) { c.Where.Location = l }) }
	near := func(kind string, limit float64, targets ...Target) Request {
		return Request{Near: []Demand{{Kind: kind, Threshold: limit, Limit: limit, Name: "Berlin", Targets: targets}}}
	}
	toBerlin := Target{Point: wire.Point{Location: berlin}}
	for name, tc := range map[string]struct {
		req  Request
		c    Candidate
		kind wire.RefusalKind // "" if the candidate suits
		word string
		why  string
	}{
		"nothing asked": {c: worker("a", 0, 0)},
		"architecture": {req: Request{Architectures: []string{"arm64"}}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "architecture",
			why: "has architecture amd64, the service needs arm64"},
		"runtime": {req: Request{Runtime: "unikernel"}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "runtime",
			why: "does not offer runtime unikernel (it offers container)"},
		"vcpus": {req: Request{Need: wire.Slot{VCPUs: 9}}, c: worker("a", 4, 4000), kind: wire.RefusalFull, word: "vcpus", why: "vCPU: needs 9, 4 free"},
		"memory": {req: Request{Need: wire.Slot{MemoryMB: 600}}, c: worker("a", 4, 500), kind: wire.RefusalFull, word: "memory",
			why: "memory: needs 600 MiB, 500 MiB free"},
		"storage": {req: Request{Need: wire.Slot{StorageMB: 2000}}, c: worker("a", 4, 500), kind: wire.RefusalFull, word: "storage",
			why: "storage: needs 2000 MiB, 1000 MiB free"},
		"two amounts": {req: Request{Need: wire.Slot{VCPUs: 9, MemoryMB: 600}}, c: worker("a", 4, 500), kind: wire.RefusalFull, word: "vcpus",
			why: "vCPU: needs 9, 4 free; memory: needs 600 MiB, 500 MiB free"},
		"no GPU": {req: Request{Need: wire.Slot{GPUs: 1}}, c: worker("a", 4, 500), kind: wire.RefusalUnqualified, word: "gpu",
			why: "has no GPU, the service needs 1"},
		"GPUs taken": {req: Request{Need: wire.Slot{GPUs: 2}}, c: with(func(c *Candidate) { c.Capacity.GPUs, c.Free.GPUs = 2, 1 }),
			kind: wire.RefusalFull, word: "gpus", why: "GPU: needs 2, 1 free"},
		"no TPU": {req: Request{Need: wire.Slot{TPUs: 1}}, c: worker("a", 4, 500), kind: wire.RefusalUnqualified, word: "tpu",
			why: "has no TPU, the service needs 1"},
		"uplink unknown": {req: Request{Need: wire.Slot{BandwidthIn: 1}}, c: worker("a", 4, 500), kind: wire.RefusalUnqualified, word: "uplink_unknown",
			why: "does not tell the speed of its uplink (--uplink-kbit), and the service asks for bandwidth"},
		"bandwidth": {req: Request{Need: wire.Slot{BandwidthOut: 600}}, kind: wire.RefusalFull, word: "bandwidth_out",
			c:   with(func(c *Candidate) { c.Capacity.BandwidthOut, c.Free.BandwidthOut = 1000, 500 }),
			why: "bandwidth out: needs 600 kbit/s, 500 kbit/s free"},
		"add-on":       {req: Request{Addons: []string{"camera"}}, c: worker("a", 4, 500), kind: wire.RefusalUnqualified, word: "addon", why: "lacks add-on camera"},
		"add-on there": {req: Request{Addons: []string{"camera"}}, c: with(func(c *Candidate) { c.Addons = []string{"lidar", "camera"} })},
		"volume driver": {req: Request{VolumeDrivers: []string{"hostpath"}}, c: worker("a", 4, 500), kind: wire.RefusalUnqualified, word: "volume_driver",
			why: "lacks volume driver hostpath"},
		"privileged": {req: Request{Privileged: true}, c: with(func(c *Candidate) { c.Unprivileged = true }), kind: wire.RefusalUnqualified,
			word: "privileged", why: "takes no privileged containers (--allow-privileged), and the service is one"},
		"privileged where it may be": {req: Request{Privileged: true}, c: worker("a", 4, 4)},
		"direct": {req: Request{Nodes: []string{"name-b", "c"}}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "direct",
			why: "is not among the nodes that the service names (name-b, c)"},
		"direct by name": {req: Request{Nodes: []string{"x", "name-a"}}, c: worker("a", 4, 4000)},
		"direct by id":   {req: Request{Nodes: []string{"a"}}, c: worker("a", 4, 4000)},
		"not allowed": {req: Request{Allowed: []string{"m"}}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "clusters_allowed",
			why: "is not among the clusters that the service allows (m)"},
		"nothing allowed": {req: Request{HasAllowed: true}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "clusters_allowed",
			why: "is not among the clusters that the service allows (its constraints have none in common)"},
		"allowed by site": {req: Request{Allowed: []string{"s"}}, c: with(func(c *Candidate) { c.Site = "s" })},
		"denied": {req: Request{Denied: []string{"name-a"}}, c: worker("a", 4, 4000), kind: wire.RefusalUnqualified, word: "clusters_denied",
			why: "is among the clusters that the service is kept out of"},
		"port": {req: Request{Ports: []wire.Port{tcp(81)}}, c: worker("a", 4, 4000), kind: wire.RefusalFull, word: "host_port",
			why: "host port 81/tcp is taken there by another instance"},
		"port of a process": {req: Request{Ports: []wire.Port{{Host: 53, Protocol: "udp"}}}, kind: wire.RefusalFull, word: "host_port_of_process",
			c:   with(func(c *Candidate) { c.UsedPorts = wire.HostPorts{TCP: []uint16{22, 80}, UDP: []uint16{53}} }),
			why: "host port 53/udp is in use there by a process of the worker"},
		"other protocol": {req: Request{Ports: []wire.Port{{Host: 81, Protocol: "udp"}}}, c: worker("a", 4, 4000)},
		"away":           {req: Request{Need: small}, c: away, kind: wire.RefusalUnavailable, word: "unavailable", why: "was last heard of 9 s ago"},
		"never heard of": {c: Candidate{ID: "a", Name: "name-a", Unavailable: "has not reported"}, req: Request{Runtime: "container"},
			kind: wire.RefusalUnavailable, word: "unknown", why: "has not reported"},
		"excluded": {req: Request{Exclude: map[string]string{"a": "holds the older copy"}}, c: worker("a", 4, 4000),
			kind: wire.RefusalUnavailable, word: "excluded", why: "holds the older copy"},
		"geo within":  {req: near("geo", 510, toBerlin), c: at(munich)},
		"geo too far": {req: near("geo", 500, toBerlin), c: at(munich), kind: wire.RefusalUnqualified, word: "geo", why: "is 504 km from Berlin, the service allows 500"},
		"geo of an area": {req: near("geo", 400, Target{Point: wire.Point{Location: berlin, RadiusKM: 60}}),
			c: with(func(c *Candidate) { c.Where.Location, c.Where.RadiusKM = munich, 50 })},
		"geo without a place": {req: near("geo", 500, toBerlin), c: worker("a", 4, 4), kind: wire.RefusalUnqualified, word: "location_unknown",
			why: "does not tell where it is, and the service asks for a place near Berlin"},
		"unknown area": {req: near("latency", 5), c: at(munich), kind: wire.RefusalUnqualified, word: "location_unknown",
			why: "Berlin is not known: name a cluster, a place that root knows (--area), or lon;lat"},
		"latency by distance": {req: near("latency", 5.1, toBerlin), c: at(munich)},
		"too slow by distance": {req: near("latency", 5, toBerlin), c: at(munich), kind: wire.RefusalUnqualified, word: "latency",
			why: "is 5.04 ms from Berlin (at least, by the distance), the service allows 5.00"},
		"measured counts more": {req: near("latency", 5, Target{Point: wire.Point{Location: munich}, Candidate: "b", Measured: map[string]float64{"a": 30}}),
			c: at(munich), kind: wire.RefusalUnqualified, word: "latency", why: "is 30.0 ms from Berlin (measured), the service allows 5.00"},
		"nearest target": {req: near("latency", 5, Target{Candidate: "b", Measured: map[string]float64{"a": 30}}, Target{Candidate: "a"}), c: at(munich)},
		"coordinates": {req: near("latency", 5, Target{Point: wire.Point{Location: munich, Coordinate: &wire.Coordinate{Vector: [3]float64{30}, Height: 1}}}),
			c:    with(func(c *Candidate) { c.Where.Location, c.Where.Coordinate = munich, &wire.Coordinate{Height: 2} }),
			kind: wire.RefusalUnqualified, word: "latency", why: "is 33.0 ms from Berlin (estimated from measured round trips), the service allows 5.00"},
		"young coordinates": {req: near("latency", 5, Target{Point: wire.Point{Location: munich, Coordinate: &wire.Coordinate{Vector: [3]float64{30}, Error: 1}}}),
			c: with(func(c *Candidate) { c.Where.Location, c.Where.Coordinate = munich, &wire.Coordinate{} })},
		"room in no single worker": {req: Request{Need: wire.Slot{VCPUs: 3, MemoryMB: 3000}}, kind: wire.RefusalFull, word: "no_single_worker",
			c: with(func(c *Candidate) {
				c.Weight, c.Slots = 2, []wire.Slot{{VCPUs: 4, MemoryMB: 1000}, {VCPUs: 1, MemoryMB: 3000}}
			}), why: "no single worker has that much free: needs 3 vCPU, 3000 MiB of memory; 2 workers"},
		"room in the other worker": {req: Request{Need: wire.Slot{VCPUs: 1, MemoryMB: 3000}},
			c: with(func(c *Candidate) { c.Slots = []wire.Slot{{VCPUs: 4, MemoryMB: 1000}, {VCPUs: 1, MemoryMB: 3000}} })},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPool([]Candidate{tc.c})
			p.Reserve("a", &Request{Service: "other", Ports: []wire.Port{tcp(81)}})
			got, why := p.Place(&tc.req, Spread)
			require.Equal(t, 1, why.Candidates)
			if tc.kind == "" {
				require.True(t, got.Found(), why.String())
				require.Equal(t, "name-a", why.Chosen.Name)
				require.Empty(t, why.Refusals)
				return
			}
			require.False(t, got.Found())
			require.Nil(t, why.Chosen)
			require.Equal(t, tc.kind, why.Kind())
			require.Equal(t, []wire.RefusalCount{{Reason: tc.word, Kind: tc.kind, Count: 1}}, why.Refusals)
			require.Equal(t, "name-a: "+tc.why, why.String())
		})
	}
}

// Every reason that there is has a word and is met by the table above, so that none is a dead letter.
func TestEveryReasonHasAWord(t *testing.T) {
	seen := map[string]bool{}
	for why := accepted + 1; why < reasons; why++ {
		require.NotEmpty(t, words[why])
		require.False(t, seen[words[why]], words[why])
		seen[words[why]] = true
	}
}
