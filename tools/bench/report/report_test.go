// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/report"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

// rounds has oak cost the share of routed and nft twice of it, on a machine that is slower in every round.
func rounds(n int, share float64) (out []session.Round) {
	for i := range n {
		slow := 1 + float64(i)/4
		jitter := 1 + 0.01*float64(i%3-1)
		r := session.Round{Part: "table", Number: i, Results: map[string]load.Result{}}
		for variant, cost := range map[string]float64{"routed": 1000, "oak": 1000 * share * jitter, "nft": 2000} {
			r.Results[variant+"/request"] = load.Result{Units: 1000, Wall: time.Second, CPU: time.Duration(1000 * cost * slow), P50: 20 * time.Microsecond, P99: time.Millisecond}
		}
		r.Results["oak/udp"] = load.Result{Units: 900, Sent: 1000, Wall: time.Second, CPU: time.Second, Strangers: time.Second / 10}
		out = append(out, r)
	}
	return out
}

func make32(t *testing.T, share float64) report.Figures {
	t.Helper()
	f, err := report.Make([]plan.Part{plan.Table(32)}, rounds(32, share), []session.Speed{{Way: "oak", Services: 10, Endpoints: 10, Load: 0.5, Changes: 200, P50: 1, P99: 2, ArrivedP50: 0.25, ArrivedP99: 0.5},
		{Way: "nft", Services: 10, Endpoints: 10, Load: 1.5, Changes: 20, P50: 30, P99: 40}})
	require.NoError(t, err)
	return f
}

func verdict(t *testing.T, f report.Figures, over, under, workload string) report.Verdict {
	t.Helper()
	for _, v := range f.Demands {
		if v.Over == over && v.Under == under && v.Workload == workload {
			return v
		}
	}
	t.Fatalf("no verdict on %s / %s for %s", over, under, workload)
	return report.Verdict{}
}

func TestFiguresOfRounds(t *testing.T) {
	f := make32(t, 0.9)
	v := verdict(t, f, "oak", "routed", "request")
	require.InDelta(t, 0.9, v.Ratio.Mean, 0.001)
	require.Equal(t, report.Holds, v.Ruling)
	require.Equal(t, 32, v.Ratio.Rounds)
	require.Equal(t, report.Unmeasured, verdict(t, f, "oak", "routed", "connect").Ruling)
	require.Len(t, f.Slices, 4)
	for _, s := range f.Slices {
		if s.Workload == "udp" {
			require.InDelta(t, 0.1, s.Lost, 1e-9)
			require.InDelta(t, 0.1, s.Strangers, 1e-9)
		} else {
			require.InDelta(t, 20, s.P50.Median, 1e-9)
		}
	}
}

func TestRulings(t *testing.T) {
	for _, c := range []struct {
		name     string
		ratio    stats.Interval
		workload plan.Workload
		want     report.Ruling
	}{
		{"below", stats.Interval{Mean: 0.90, Low: 0.80, High: 1.1, Rounds: 32}, plan.Request, report.Holds},
		{"below in too few rounds", stats.Interval{Mean: 0.90, Low: 0.89, High: 0.91, Rounds: 31}, plan.Request, report.Undecided},
		{"narrow around it", stats.Interval{Mean: 0.93, Low: 0.91, High: 0.95, Rounds: 64}, plan.Request, report.ByInterval},
		{"wide around it", stats.Interval{Mean: 0.93, Low: 0.89, High: 0.97, Rounds: 64}, plan.Request, report.Undecided},
		{"that wide in bulk", stats.Interval{Mean: 0.93, Low: 0.89, High: 0.97, Rounds: 64}, plan.Bulk, report.ByInterval},
		{"above", stats.Interval{Mean: 0.95, Low: 0.93, High: 0.97, Rounds: 64}, plan.Request, report.Fails},
	} {
		require.Equal(t, c.want, report.Rule(c.ratio, 0.92, c.workload), c.name)
	}
}

func TestFormsSayWhatWasFound(t *testing.T) {
	f := make32(t, 0.9)
	text := report.Markdown(f)
	require.Contains(t, text, "| other worker, against routed containers | request | ≤ 0.92 | 0.900 [0.897–0.902] | 32 | holds |")
	require.Contains(t, text, "| nft / routed | – | – | 2.000 [2.000–2.000] | – | – |")
	require.Contains(t, text, "| oak | 10 | 10 | 0.50 s | 1.00 ms | 2.00 ms | 0.25 ms | 0.50 ms | 200 |")
	require.Contains(t, text, "| nft | 10 | 10 | 1.50 s | 30.00 ms | 40.00 ms | – | – | 20 |")

	chart := report.Chart(f)
	require.Contains(t, chart, ">routed</text>")
	for d := xml.NewDecoder(strings.NewReader(chart)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}

	dir := t.TempDir()
	require.NoError(t, report.Write(dir, f))
	back, err := report.Read(dir + "/" + report.JSONFile)
	require.NoError(t, err)
	require.Equal(t, f, back)
}

func TestAQuickRunIsComparedWithWhatWasFoundBefore(t *testing.T) {
	before := make32(t, 0.9)
	require.Empty(t, report.Worse(before, make32(t, 0.9*1.24), 1.25))
	worse := report.Worse(before, make32(t, 0.9*1.27), 1.25)
	require.Len(t, worse, 2, "against routed and against nft")
	require.Contains(t, worse[0], "oak / routed, request: 1.143")
	// What was not measured now is no regression; that nothing at all can be compared would be.
	nothing, err := report.Make([]plan.Part{plan.Table(32)}, nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"nothing was measured that was measured before"}, report.Worse(before, nothing, 1.25))
}
