// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/metrics"
)

// Sample is one value of a metric.
type Sample struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"` // counter or gauge
	Help   string            `json:"help"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// Metrics returns what the maps tell as NetManager's metrics, in the form of Prometheus's library.
func (r *Reader) Metrics() ([]*dto.MetricFamily, error) {
	found, err := features.Read(r.worker.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c, err := metrics.New(r.maps, found)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	return families, nil
}

// Samples lists every value of some metrics.
func Samples(of []*dto.MetricFamily) []Sample {
	var out []Sample
	for _, f := range of {
		for _, m := range f.GetMetric() {
			s := Sample{Name: f.GetName(), Type: "gauge", Help: f.GetHelp(), Labels: map[string]string{}, Value: m.GetGauge().GetValue()}
			if m.GetCounter() != nil {
				s.Type, s.Value = "counter", m.GetCounter().GetValue()
			}
			for _, l := range m.GetLabel() {
				s.Labels[l.GetName()] = l.GetValue()
			}
			out = append(out, s)
		}
	}
	return out
}
