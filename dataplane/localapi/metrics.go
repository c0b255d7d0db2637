// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/metrics"
	"github.com/oakestra/oakestra-ebpf/dataplane/upcall"
)

// own begins the name of every metric of NetManager itself.
const own = "oakestra_netmanager_"

// Sources are what the metrics are read from whenever they are asked for. All are needed.
type Sources struct {
	Maps     *bpf.Maps
	Features features.Record
	// Names are the metrics of names.
	Names []prometheus.Collector
	// Connected reports whether the MQTT session is up.
	Connected func() bool
	// Upcalls counts first packets; false while nobody reads them.
	Upcalls func() (upcall.Stats, bool)
}

// Metrics are those of the dataplane's maps and of NetManager itself.
type Metrics struct {
	registry *prometheus.Registry
	routeLag prometheus.Histogram
	refused  prometheus.Counter
}

// NewMetrics returns the metrics of these sources.
func NewMetrics(from Sources) (*Metrics, error) {
	maps, err := metrics.New(from.Maps, from.Features)
	if err != nil {
		return nil, fmt.Errorf("prepare metrics: %w", err)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		routeLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: own + "route_lag_seconds",
			Help: "Time from the arrival of the cluster's message about a service to every map changed.",
			// Around the 2 ms that it is to take at most, and up to where something is wrong.
			Buckets: []float64{.0001, .00025, .0005, .001, .0015, .002, .0025, .003, .004, .005, .0075, .01, .025, .1, 1},
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: own + "messages_refused_total", Help: "Messages of the cluster that could not be applied; the log says why.",
		}),
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: own + "connected", Help: "1 while the MQTT session is up."}, func() float64 {
		if from.Connected() {
			return 1
		}
		return 0
	})
	for _, c := range append([]prometheus.Collector{
		maps, m.routeLag, m.refused, up, &upcalls{read: from.Upcalls},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, from.Names...) {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Registry returns them, for those who describe them.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// RouteApplied notes how long after its arrival a message about a service had changed every map.
func (m *Metrics) RouteApplied(lag time.Duration) { m.routeLag.Observe(lag.Seconds()) }

// MessageRefused notes a message that could not be applied.
func (m *Metrics) MessageRefused() { m.refused.Inc() }

// upcalls tells of first packets. The queue begins anew with each overlay, which to Prometheus is a counter's reset.
type upcalls struct {
	read func() (upcall.Stats, bool)
}

var (
	upcallFrames = prometheus.NewDesc(own+"upcall_frames_total",
		"First packets that the programs sent up, by what became of them: received are all, returned went back to the programs; of these, "+
			"overflow came when too many were held, timed_out stayed unanswered, refused were for nobody; failed could not be written back.",
		[]string{"what"}, nil)
	upcallHeld  = prometheus.NewDesc(own+"upcall_held_frames", "First packets that wait for an answer now.", nil, nil)
	upcallBytes = prometheus.NewDesc(own+"upcall_held_bytes", "Bytes of first packets that wait for an answer now.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (u *upcalls) Describe(out chan<- *prometheus.Desc) {
	out <- upcallFrames
	out <- upcallHeld
	out <- upcallBytes
}

// Collect implements [prometheus.Collector].
func (u *upcalls) Collect(out chan<- prometheus.Metric) {
	s, ok := u.read()
	if !ok {
		return
	}
	for what, n := range map[string]uint64{
		"received": s.Received, "returned": s.Returned, "overflow": s.Overflow, "timed_out": s.TimedOut, "refused": s.Refused, "failed": s.Failed,
	} {
		out <- prometheus.MustNewConstMetric(upcallFrames, prometheus.CounterValue, float64(n), what)
	}
	out <- prometheus.MustNewConstMetric(upcallHeld, prometheus.GaugeValue, float64(s.Held))
	out <- prometheus.MustNewConstMetric(upcallBytes, prometheus.GaugeValue, float64(s.Bytes))
}
