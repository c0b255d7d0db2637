// SPDX-License-Identifier: Apache-2.0

// Package metricnames reads names, labels and meanings of metrics out of the collectors that serve them, for a program's reference.
// It is apart from package manual so that programs without metrics do without Prometheus' library.
package metricnames

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
)

// form is how a description prints itself, which is all that it lets others read.
var form = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{([^}]*)\}\}$`)

// Of returns what a collector, such as a registry, describes, by name; not what every Go program has.
func Of(c prometheus.Collector) ([]manual.Metric, error) {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	var (
		all   []manual.Metric
		fault error
	)
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			fault = fmt.Errorf("read metric %s: it prints itself in no form that is known", d)
			continue
		}
		name, err := strconv.Unquote(m[1])
		if err != nil {
			fault = err
		}
		help, err := strconv.Unquote(m[2])
		if err != nil {
			fault = err
		}
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		x := manual.Metric{Name: name, Meaning: help}
		if m[3] != "" {
			x.Labels = strings.Split(m[3], ",")
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b manual.Metric) int { return strings.Compare(a.Name, b.Name) })
	return all, fault
}
