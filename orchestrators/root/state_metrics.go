// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// stateMetrics reads what root manages from the database at each scrape, so that every root process tells the same.
type stateMetrics struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	instances *prometheus.Desc
	clusters  *prometheus.Desc
	up        *prometheus.Desc
}

func newStateMetrics(pool *pgxpool.Pool, log *slog.Logger) *stateMetrics {
	return &stateMetrics{
		pool: pool, log: log,
		instances: prometheus.NewDesc("oakestra_root_instances", "Instances by state.", []string{"state"}, nil),
		clusters:  prometheus.NewDesc("oakestra_root_clusters", "Clusters that have joined, by whether they have reported lately.", []string{"active"}, nil),
		up:        prometheus.NewDesc("oakestra_root_database_up", "1 while the database answers.", nil, nil),
	}
}

// Metrics returns a registry that describes what a root orchestrator serves at /metrics. Nothing can be gathered from it.
func Metrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newStateMetrics(nil, nil))
	httpapi.New(slog.New(slog.DiscardHandler), httpapi.Registry(reg)) // adds its own
	return reg
}

// Describe implements prometheus.Collector.
func (m *stateMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.instances
	ch <- m.clusters
	ch <- m.up
}

// Collect implements prometheus.Collector.
func (m *stateMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	up := 1.0
	if err := m.collect(ctx, ch); err != nil {
		m.log.Debug("could not read metrics from the database", "error", err)
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(m.up, prometheus.GaugeValue, up)
}

func (m *stateMetrics) collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	for _, q := range []struct {
		desc *prometheus.Desc
		sql  string
		args []any
	}{
		{m.instances, `SELECT state, count(*) FROM instance GROUP BY state`, nil},
		{m.clusters, `SELECT coalesce(reported_at > now() - $1::interval, false)::text, count(*) FROM cluster GROUP BY 1`, []any{activeFor}},
	} {
		rows, err := m.pool.Query(ctx, q.sql, q.args...)
		if err != nil {
			return err
		}
		var label string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&label, &n}, func() error {
			ch <- prometheus.MustNewConstMetric(q.desc, prometheus.GaugeValue, float64(n), label)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
