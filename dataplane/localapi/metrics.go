// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"iter"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// fillEvery bounds how often maps are counted: that reads every entry.
const fillEvery = 10 * time.Second

// collector reads the dataplane's counters out of its maps whenever it is asked.
type collector struct {
	maps    *bpf.Maps
	reasons map[uint32]string
	stats   map[uint32]string

	drops, dropBytes, packets, bytes         *prometheus.Desc
	peerPackets, peerBytes, peerState        *prometheus.Desc
	mapEntries, mapCapacity, heartbeat, errs *prometheus.Desc

	mu     sync.Mutex
	filled map[string]float64
	at     time.Time
}

// NewCollector returns the metrics of the dataplane's maps.
func NewCollector(m *bpf.Maps) (prometheus.Collector, error) {
	reasons, err := bpf.DropReasons()
	if err != nil {
		return nil, err
	}
	stats, err := bpf.StatNames()
	if err != nil {
		return nil, err
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("oakestra_dataplane_"+name, help, labels, nil)
	}
	return &collector{
		maps: m, reasons: reasons, stats: stats,
		drops:       desc("drop_packets_total", "Packets dropped, by reason.", "reason"),
		dropBytes:   desc("drop_bytes_total", "Bytes of packets dropped, by reason.", "reason"),
		packets:     desc("packets_total", "Packets handled, by what was done.", "kind"),
		bytes:       desc("bytes_total", "Bytes of packets handled, by what was done.", "kind"),
		peerPackets: desc("peer_packets_total", "Packets to and from another worker.", "peer", "direction"),
		peerBytes:   desc("peer_bytes_total", "Bytes to and from another worker.", "peer", "direction"),
		peerState:   desc("peer_state", "State of another worker: 1 greeting, 2 up, 3 unreachable.", "peer"),
		mapEntries:  desc("map_entries", "Entries in a map, counted at most every 10 s.", "map"),
		mapCapacity: desc("map_capacity", "Entries that a map can hold.", "map"),
		heartbeat:   desc("heartbeat_nanoseconds", "CLOCK_MONOTONIC when NetManager last was alive."),
		errs:        desc("scrape_errors", "Maps that could not be read by this scrape."),
	}, nil
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.drops, c.dropBytes, c.packets, c.bytes, c.peerPackets, c.peerBytes, c.peerState, c.mapEntries, c.mapCapacity, c.heartbeat, c.errs,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	failed := c.counters(out, c.maps.Drops, c.reasons, c.drops, c.dropBytes)
	failed += c.counters(out, c.maps.Stats, c.stats, c.packets, c.bytes)
	failed += c.peers(out)
	if beat, _, err := c.maps.Heartbeat.Lookup(0); err != nil {
		failed++
	} else {
		out <- prometheus.MustNewConstMetric(c.heartbeat, prometheus.GaugeValue, float64(beat))
	}
	for name, n := range c.fill() {
		out <- prometheus.MustNewConstMetric(c.mapEntries, prometheus.GaugeValue, n, name)
		if m := c.maps.ByName(name); m != nil {
			out <- prometheus.MustNewConstMetric(c.mapCapacity, prometheus.GaugeValue, float64(m.MaxEntries()), name)
		}
	}
	out <- prometheus.MustNewConstMetric(c.errs, prometheus.GaugeValue, float64(failed))
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

func (c *collector) peers(out chan<- prometheus.Metric) (failed int) {
	var err error
	for i, p := range c.maps.Peers.All(&err) {
		if p.State == bpf.PeerFree {
			continue
		}
		id := bpf.FormatID(p.Id)
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
		out <- prometheus.MustNewConstMetric(c.peerPackets, prometheus.CounterValue, float64(sum.TxPackets), id, "tx")
		out <- prometheus.MustNewConstMetric(c.peerPackets, prometheus.CounterValue, float64(sum.RxPackets), id, "rx")
		out <- prometheus.MustNewConstMetric(c.peerBytes, prometheus.CounterValue, float64(sum.TxBytes), id, "tx")
		out <- prometheus.MustNewConstMetric(c.peerBytes, prometheus.CounterValue, float64(sum.RxBytes), id, "rx")
	}
	if err != nil {
		failed++
	}
	return failed
}

// fill returns how many entries each hash has; arrays are always full.
func (c *collector) fill() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filled != nil && time.Since(c.at) < fillEvery {
		return c.filled
	}
	m := c.maps
	c.filled, c.at = map[string]float64{
		"endpoints": count(m.Endpoints.All(nil)), "local": count(m.Local.All(nil)), "peer_addrs": count(m.PeerAddrs.All(nil)),
		"sources": count(m.Sources.All(nil)), "vips": count(m.VIPs.All(nil)), "pending": count(m.Pending.All(nil)),
		"flows": count(m.Flows.All(nil)), "new_flows": count(m.NewFlows.All(nil)),
	}, time.Now()
	return c.filled
}

func count[K, V any](entries iter.Seq2[K, V]) (n float64) {
	for range entries {
		n++
	}
	return n
}
