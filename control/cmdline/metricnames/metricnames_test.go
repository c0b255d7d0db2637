// SPDX-License-Identifier: Apache-2.0

package metricnames_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/metricnames"
)

func TestNamesAreThoseThatAreServed(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "z_total", Help: `Says "z", {or} so.`, ConstLabels: prometheus.Labels{"c": "}"}}, []string{"a", "b"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "a_now", Help: "A."}))
	found, err := metricnames.Of(reg)
	require.NoError(t, err)
	require.Equal(t, []manual.Metric{{Name: "a_now", Meaning: "A."}, {Name: "z_total", Labels: []string{"a", "b"}, Meaning: `Says "z", {or} so.`}}, found)
}
