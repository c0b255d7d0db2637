// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// routeLag is NetManager's own measurement, from the arrival of routes to every map changed.
const routeLag = "oakestra_netmanager_route_lag_seconds"

// lag is a histogram of durations.
type lag struct {
	count   uint64
	buckets []bucket // by bound
}

// bucket counts all that are no longer than bound, in seconds.
type bucket struct {
	bound float64
	count uint64
}

// lag reads what NetManager has measured since its start.
func (w *worker) lag(ctx context.Context) (out lag, err error) {
	text, err := w.request(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return out, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return out, fmt.Errorf("read NetManager's metrics: %w", err)
	}
	found := families[routeLag].GetMetric()
	if len(found) != 1 || found[0].GetHistogram() == nil {
		return out, fmt.Errorf("read NetManager's metrics: no histogram %s", routeLag)
	}
	out.count = found[0].GetHistogram().GetSampleCount()
	for _, b := range found[0].GetHistogram().GetBucket() {
		out.buckets = append(out.buckets, bucket{b.GetUpperBound(), b.GetCumulativeCount()})
	}
	slices.SortFunc(out.buckets, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
	return out, nil
}

// since is what has been measured after before.
func (l lag) since(before lag) (lag, error) {
	if len(l.buckets) != len(before.buckets) || l.count < before.count {
		return lag{}, errors.New("compare two histograms: they are not of one process")
	}
	out := lag{count: l.count - before.count}
	for i, b := range l.buckets {
		out.buckets = append(out.buckets, bucket{b.bound, b.count - before.buckets[i].count})
	}
	return out, nil
}

// quantile estimates how long so large a share took at most, as Prometheus does: within a bucket they are taken for evenly spread.
func (l lag) quantile(share float64) time.Duration {
	rank, last := share*float64(l.count), bucket{}
	for _, b := range l.buckets {
		if float64(b.count) >= rank {
			if math.IsInf(b.bound, 1) || b.count == last.count {
				break
			}
			inside := (rank - float64(last.count)) / float64(b.count-last.count)
			return seconds(last.bound + (b.bound-last.bound)*inside)
		}
		last = b
	}
	return seconds(last.bound) // longer than all bounds: no less than this
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
