// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// stage builds this repository's programs, and opens a stage with very short slices.
func stage(t *testing.T) *Stage {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir, "../../cmd/oak-bench", "../../../dataplane/cmd/NetManager").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s, err := Open(Options{
		Self: filepath.Join(dir, "oak-bench"), NetManager: filepath.Join(dir, "NetManager"), Time: 30 * time.Millisecond, Progress: t.Logf,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Every way is built and measured, with several servers where there are services; traffic through a service reaches the ways' own servers.
func TestEveryWayIsMeasured(t *testing.T) {
	s := stage(t)
	few := func(w plan.Way) plan.Setup { return plan.Setup{Way: w, Services: 4, Endpoints: 2} }
	measured := map[string]float64{}
	for _, setup := range []plan.Setup{{Way: plan.Hosts}, {Way: plan.Routed}, {Way: plan.Bare}, few(plan.NFT), few(plan.IPTables), few(plan.Oak)} {
		require.NoError(t, s.Build(t.Context(), setup))
		for _, w := range []plan.Workload{plan.Bulk4, plan.Request, plan.Connect, plan.UDP} {
			v := plan.Variant{Name: setup.Name(), Setup: setup, Place: "other"}
			r, err := s.Measure(t.Context(), plan.Slice{Variant: v, Workload: w})
			require.NoError(t, err)
			require.InEpsilon(t, 30*time.Millisecond, r.Wall, 0.9)
			require.Greater(t, r.CPU, time.Millisecond)
			require.Equal(t, w == plan.UDP, r.Sent > 0)
			require.Equal(t, w == plan.Request || w == plan.Connect, r.P99 > 0)
			measured[setup.Name()+"/"+w.Name] = r.Cost()
		}
		if setup.Services == 0 {
			continue
		}
		speed, err := s.Speed(t.Context(), setup, 5)
		require.NoError(t, err)
		require.Positive(t, speed.Load)
		require.Greater(t, speed.P50, 0.01)
		require.GreaterOrEqual(t, speed.P99, speed.P50)
		require.Equal(t, setup.Way == plan.Oak, speed.ArrivedP50 > 0)
		require.GreaterOrEqual(t, speed.ArrivedP99, speed.ArrivedP50)
	}
	require.NoError(t, s.Ensure(t.Context()))
	// Less than what is known to be so, that a busy machine is no fault: rules for each packet and an encapsulation cost something.
	require.Greater(t, measured["nft-4x2/request"], measured["host/request"])

	m, err := s.Machine("v")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"routed": 1500, "bare": 1464, "nft": 1450, "iptables": 1450, "oak": 1464}, m.MTUs)
	require.Contains(t, m.Offloads, "tx-tcp-segmentation")
	require.NotContains(t, m.PlainOffloads, "tx-tcp-segmentation")
	require.NotEmpty(t, m.Programs["nft"])
}

// A slice that nobody answers is an error that names it, not a figure.
func TestWhatDoesNotAnswerIsNoFigure(t *testing.T) {
	s := stage(t)
	setup := plan.Setup{Way: plan.Hosts}
	require.NoError(t, s.Build(t.Context(), setup))
	slice := plan.Slice{Variant: plan.Variant{Name: "host-same", Setup: setup, Place: "same"}, Workload: plan.Request}
	require.ErrorContains(t, s.Probe(t.Context(), slice), "try host-same/request: ")
	slice.Variant.Setup = plan.Setup{Way: plan.Routed}
	require.ErrorContains(t, s.Probe(t.Context(), slice), "its setup is not built")
}
