// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantiles(t *testing.T) {
	var d []time.Duration
	for n := 100; n > 0; n-- {
		d = append(d, time.Duration(n))
	}
	require.Equal(t, time.Duration(50), quantile(d, 0.5))
	require.Equal(t, time.Duration(99), quantile(d, 0.99))
	require.Equal(t, time.Duration(100), quantile(d, 1))
	require.Zero(t, quantile(nil, 0.5))
}

func TestBenchmarkIsRead(t *testing.T) {
	const text = "goos: linux\nBenchmarkPlace/100 \t 812 \t 2463 ns/op\t 405965 placements/s\t 0.1 refused/op\nBenchmarkPlace/1000-2 9 1 ns/op 20000.5 placements/s\nBenchmarkOther 1 3 placements/s\nPASS\n"
	require.Equal(t, []benchmark{{"100", 405965}, {"1000", 20000.5}}, parseBenchmark(text))
}

func TestReportSaysWhatIsMissed(t *testing.T) {
	var r Result
	r.Part = "idle"
	r.add("root, resident", 39.5, "MiB").atMost(40)
	r.add("placements", 20_000, "/s").atLeast(5000)
	r.add("told", 7, "")
	rep := Report{Version: "v1", Machine: "a <machine>", Results: []Result{r}}
	require.True(t, rep.Holds())
	text := rep.Markdown()
	require.Contains(t, text, "| root, resident | 39.5 MiB | ≤ 40 MiB | holds |")
	require.NotContains(t, text, "missed")

	r.add("a & b", 3, "ms").atMost(2)
	r.times("nothing", nil, 0)
	rep.Results = []Result{r}
	require.False(t, rep.Holds())
	text = rep.Markdown()
	require.Contains(t, text, "| a & b | 3 ms | ≤ 2 ms | **missed** |")
	require.Contains(t, text, "nothing: nothing was measured.")
	for d := xml.NewDecoder(strings.NewReader(rep.Chart())); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

// What was measured with the same programs is not measured again; with others it is.
func TestFinishedPartsAreKept(t *testing.T) {
	bin, state := t.TempDir(), t.TempDir()
	o := Options{Bin: bin, State: state, Only: []string{"none"}, Say: t.Logf}
	require.ErrorIs(t, Run(t.Context(), o, io.Discard), ErrPart)
	o.Only = []string{"idle"}
	require.ErrorContains(t, Run(t.Context(), o, io.Discard), "make build")
	for _, p := range []string{"root-orchestrator", "cluster-orchestrator", "NodeEngine", "NetManager"} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, p), []byte("#!/bin/false\n"), 0o600))
	}
	key, err := o.key()
	require.NoError(t, err)
	dir := filepath.Join(state, key)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, store(dir, "idle", Result{Part: "idle", Figures: []Figure{{Name: "kept", Value: 1}}}))
	var out strings.Builder
	require.NoError(t, Run(t.Context(), o, &out))
	require.Contains(t, out.String(), "kept")
	require.FileExists(t, filepath.Join(state, JSONFile))

	require.NoError(t, os.WriteFile(filepath.Join(bin, "NodeEngine"), []byte("another"), 0o600))
	require.Error(t, Run(t.Context(), o, io.Discard), "there is nothing to keep, and these are no programs")
}
