// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/usage"
)

// countEvery bounds how often maps and flows are counted: that reads every entry.
const countEvery = 10 * time.Second

// Prefix begins the name of every metric of the maps.
const Prefix = "oakestra_dataplane_"

// collector reads the maps whenever it is asked.
type collector struct {
	maps    *bpf.Maps
	found   features.Record
	reasons map[uint32]string
	stats   map[uint32]string
	describe

	mu      sync.Mutex
	counted []prometheus.Metric
	failed  int
	at      time.Time
}

// describe is what is told of each metric.
type describe struct {
	drops, dropBytes, packets, bytes                       *prometheus.Desc
	peerPackets, peerBytes, peerState, peerHeard, peerPath *prometheus.Desc
	mapEntries, mapCapacity, mapBytes, flows               *prometheus.Desc
	heartbeat, feature, errs                               *prometheus.Desc
}

func describes() describe {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(Prefix+name, help, labels, nil)
	}
	return describe{
		drops:       desc("drop_packets_total", "Packets dropped, by reason.", "reason"),
		dropBytes:   desc("drop_bytes_total", "Bytes of packets dropped, by reason.", "reason"),
		packets:     desc("packets_total", "Packets handled, by what was done; upcall are those sent up to NetManager.", "kind"),
		bytes:       desc("bytes_total", "Bytes of packets handled, by what was done.", "kind"),
		peerPackets: desc("peer_packets_total", "Packets to (tx) and from (rx) another worker.", "peer", "direction"),
		peerBytes:   desc("peer_bytes_total", "Bytes to (tx) and from (rx) another worker.", "peer", "direction"),
		peerState:   desc("peer_state", "State of another worker: 1 greeting, 2 up, 3 to 5 unreachable (4 and 5: NATs at both ends, one or both symmetric).", "peer"),
		peerHeard:   desc("peer_silence_seconds", "Time since a packet of another worker was last accepted; absent if none ever was.", "peer"),
		peerPath:    desc("peer_path_mtu_bytes", "What the tunnel to another worker carries for what a router on the way has said; absent if none has, or not of late.", "peer"),
		mapEntries:  desc("map_entries", "Entries in use in a map, counted at most every 10 s.", "map"),
		mapCapacity: desc("map_capacity", "Entries that a map can hold.", "map"),
		mapBytes:    desc("map_bytes", "Memory that the kernel has charged for a map, in bytes, read at most every 10 s.", "map"),
		flows:       desc("flows", "Flows, by what their entries say: opening, established, ended (TCP has ended it, or its instance is gone); counted at most every 10 s.", "family", "protocol", "state"),
		heartbeat:   desc("heartbeat_age_seconds", "Time since NetManager last was alive; the programs take it for dead after 2 s. Absent if it never was."),
		feature:     desc("kernel_feature", "1 for a feature of the kernel that the datapath uses, 0 for one that it does without.", "feature"),
		errs:        desc("scrape_errors", "What could not be read by this scrape, such as a map."),
	}
}

// New returns the metrics of a worker's maps and of what the datapath found in the kernel.
func New(m *bpf.Maps, found features.Record) (prometheus.Collector, error) {
	reasons, err := bpf.DropReasons()
	if err != nil {
		return nil, err
	}
	stats, err := bpf.StatNames()
	if err != nil {
		return nil, err
	}
	return &collector{maps: m, found: found, reasons: reasons, stats: stats, describe: describes()}, nil
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.drops, c.dropBytes, c.packets, c.bytes, c.peerPackets, c.peerBytes, c.peerState, c.peerHeard, c.peerPath,
		c.mapEntries, c.mapCapacity, c.mapBytes, c.flows, c.heartbeat, c.feature, c.errs,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	now, err := monotonic()
	if err != nil {
		out <- prometheus.MustNewConstMetric(c.errs, prometheus.GaugeValue, 1)
		return
	}
	failed := c.counters(out, c.maps.Drops, c.reasons, c.drops, c.dropBytes)
	failed += c.counters(out, c.maps.Stats, c.stats, c.packets, c.bytes)
	failed += c.peers(out, now)
	if beat, _, err := c.maps.Heartbeat.Lookup(0); err != nil {
		failed++
	} else if beat != 0 {
		out <- prometheus.MustNewConstMetric(c.heartbeat, prometheus.GaugeValue, since(now, beat))
	}
	for _, f := range c.found.Features {
		used := 0.0
		if f.Used {
			used = 1
		}
		out <- prometheus.MustNewConstMetric(c.feature, prometheus.GaugeValue, used, f.Name)
	}
	counted, missed := c.count()
	for _, m := range counted {
		out <- m
	}
	out <- prometheus.MustNewConstMetric(c.errs, prometheus.GaugeValue, float64(failed+missed))
}

func (c *collector) counters(out chan<- prometheus.Metric, t bpf.Table[uint32, []bpf.Counter], names map[uint32]string, packets, bytes *prometheus.Desc) (failed int) {
	for i, name := range names {
		perCPU, _, err := t.Lookup(i)
		if err != nil {
			failed++
			continue
		}
		var sum bpf.Counter
		for _, v := range perCPU {
			sum.Packets += v.Packets
			sum.Bytes += v.Bytes
		}
		out <- prometheus.MustNewConstMetric(packets, prometheus.CounterValue, float64(sum.Packets), name)
		out <- prometheus.MustNewConstMetric(bytes, prometheus.CounterValue, float64(sum.Bytes), name)
	}
	return failed
}

func (c *collector) peers(out chan<- prometheus.Metric, now time.Duration) (failed int) {
	var err error
	for i, p := range c.maps.Peers.All(&err) {
		id := bpf.FormatID(p.Id)
		if p.State == bpf.PeerFree || id == "" {
			continue
		}
		out <- prometheus.MustNewConstMetric(c.peerState, prometheus.GaugeValue, float64(p.State), id)
		perCPU, _, err := c.maps.PeerStats.Lookup(i)
		if err != nil {
			failed++
			continue
		}
		var sum bpf.PeerStats
		for _, v := range perCPU {
			sum.TxPackets += v.TxPackets
			sum.TxBytes += v.TxBytes
			sum.RxPackets += v.RxPackets
			sum.RxBytes += v.RxBytes
		}
		for _, d := range []struct {
			way            string
			packets, bytes uint64
		}{{"tx", sum.TxPackets, sum.TxBytes}, {"rx", sum.RxPackets, sum.RxBytes}} {
			out <- prometheus.MustNewConstMetric(c.peerPackets, prometheus.CounterValue, float64(d.packets), id, d.way)
			out <- prometheus.MustNewConstMetric(c.peerBytes, prometheus.CounterValue, float64(d.bytes), id, d.way)
		}
		health, _, err := c.maps.PeerHealth.Lookup(i)
		if err != nil {
			failed++
			continue
		}
		if health.Heard != 0 {
			out <- prometheus.MustNewConstMetric(c.peerHeard, prometheus.GaugeValue, since(now, health.Heard), id)
		}
		path, _, err := c.maps.Paths.Lookup(i)
		if err != nil {
			failed++
			continue
		}
		if limit := path.Limit(p, now); limit != 0 {
			out <- prometheus.MustNewConstMetric(c.peerPath, prometheus.GaugeValue, float64(limit), id)
		}
	}
	if err != nil {
		failed++
	}
	return failed
}

// count returns what takes reading every entry; it is kept for a while.
func (c *collector) count() (counted []prometheus.Metric, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counted != nil && time.Since(c.at) < countEvery {
		return c.counted, c.failed
	}
	c.counted, c.failed, c.at = nil, 0, time.Now()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		c.counted = append(c.counted, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
	}
	for _, name := range c.maps.Names() {
		m := c.maps.ByName(name)
		n, ok, err := usage.Entries(m)
		if err == nil && ok {
			gauge(c.mapEntries, float64(n), name)
			gauge(c.mapCapacity, float64(m.MaxEntries()), name)
		}
		bytes, told, memErr := usage.Bytes(m)
		if told {
			gauge(c.mapBytes, float64(bytes), name)
		}
		if errors.Join(err, memErr) != nil {
			c.failed++
		}
	}
	flows, err := c.countFlows()
	for f, n := range flows {
		gauge(c.flows, float64(n), f.family, f.protocol, f.state)
	}
	if err != nil {
		c.failed++
	}
	return c.counted, c.failed
}

// monotonic is the time of the maps.
func monotonic() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// since is how long ago a time of the maps was, in seconds; what was written after the clock was read is new.
func since(now time.Duration, at uint64) float64 { return max(0, now-time.Duration(at)).Seconds() }
