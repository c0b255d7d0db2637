// SPDX-License-Identifier: Apache-2.0

package dns

import "github.com/prometheus/client_golang/prometheus"

// What became of a query.
const (
	resultKnown       = "known"
	resultNone        = "none"
	resultUnavailable = "unavailable"
	resultForwarded   = "forwarded"
	resultFailed      = "forward_failed"
	resultLimited     = "limited"
)

// counts counts queries by what became of them.
type counts struct{ queries *prometheus.CounterVec }

func newCounts() counts {
	c := counts{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "oakestra_netmanager_dns_queries_total", Help: "Queries of containers by what became of them.",
	}, []string{"result"})}
	for _, r := range []string{resultKnown, resultNone, resultUnavailable, resultForwarded, resultFailed, resultLimited} {
		c.queries.WithLabelValues(r)
	}
	return c
}

func (c counts) add(result string) { c.queries.WithLabelValues(result).Inc() }

// Collectors are the resolver's metrics. Those of a nil resolver can be described, not collected.
func (r *Resolver) Collectors() []prometheus.Collector {
	var c counts
	if r != nil {
		c = r.counts
	} else {
		c = newCounts()
	}
	return []prometheus.Collector{c.queries, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "oakestra_netmanager_dns_names", Help: "Names that are wanted, whether somebody has them or not."},
		func() float64 { return float64(r.table.len()) },
	)}
}
