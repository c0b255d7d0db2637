// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// gauges are the cluster's own metrics.
type gauges struct {
	published, refused prometheus.Counter
	decision           prometheus.Histogram
}

func newGauges(reg *prometheus.Registry) *gauges {
	g := &gauges{
		published: prometheus.NewCounter(prometheus.CounterOpts{Name: "oakestra_cluster_published_total",
			Help: "Messages published to workers."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "oakestra_cluster_refused_total",
			Help: "Messages and endpoints of workers that were refused."}),
		decision: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "oakestra_cluster_decision_seconds",
			Help: "Time to store decisions.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
	}
	reg.MustRegister(g.published, g.refused, g.decision)
	return g
}

// What is read from the cluster's state when it is asked for.
var (
	workers   = prometheus.NewDesc("oakestra_cluster_workers", "Workers by status.", []string{"status"}, nil)
	instances = prometheus.NewDesc("oakestra_cluster_instances", "Instances by state.", []string{"state"}, nil)
	rootUp    = prometheus.NewDesc("oakestra_cluster_connected_to_root", "1 while root answers.", nil, nil)
)

// Metrics returns a registry that describes what a cluster orchestrator serves at /metrics. Nothing can be gathered from it.
func Metrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	newGauges(reg)
	reg.MustRegister(collector{})
	httpapi.New(slog.New(slog.DiscardHandler), httpapi.Registry(reg)) // adds its own
	return reg
}

// register adds the metrics that are read from the cluster's state when they are asked for.
func (c *Cluster) register() {
	c.reg.MustRegister(collector{func(ch chan<- prometheus.Metric) {
		byStatus, byState := map[string]float64{"ready": 0, "unavailable": 0, "lost": 0}, map[string]float64{}
		now := time.Now()
		c.mu.Lock()
		for _, id := range c.ledger.Workers() {
			status, _ := c.ledger.Status(id, now)
			byStatus[status]++
		}
		for _, r := range c.ledger.Reports(now) {
			byState[string(r.State)]++
		}
		c.mu.Unlock()
		for status, n := range byStatus {
			ch <- prometheus.MustNewConstMetric(workers, prometheus.GaugeValue, n, status)
		}
		for state, n := range byState {
			ch <- prometheus.MustNewConstMetric(instances, prometheus.GaugeValue, n, state)
		}
		connected := 0.0
		if c.connected.Load() {
			connected = 1
		}
		ch <- prometheus.MustNewConstMetric(rootUp, prometheus.GaugeValue, connected)
	}})
}

type collector struct {
	collect func(chan<- prometheus.Metric)
}

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- workers
	ch <- instances
	ch <- rootUp
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) { c.collect(ch) }
