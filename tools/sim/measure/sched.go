// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// What the scheduler has to do in a second, by how many workers there are.
var placements = map[string]float64{"1000": 20_000, "5000": 5_000}

// schedule runs the scheduler's own benchmark on one core: workers of many kinds, all filters on, reservation and explanation included.
func schedule(ctx context.Context, _ *Options, r *Result) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkPlace$", "-benchtime", "2s", "-cpu", "1", "./orchestrators/scheduler")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run the scheduler's benchmark (this part needs the sources: run it where go.mod is): %w: %s%s", err, out, errs.Bytes())
	}
	found := parseBenchmark(string(out))
	if len(found) == 0 {
		return errors.New("the scheduler's benchmark has told no placements/s")
	}
	for _, b := range found {
		f := r.add("placements a second, "+b.workers+" workers", b.rate, "/s")
		if least, ok := placements[b.workers]; ok {
			f.atLeast(least)
		}
	}
	return nil
}

type benchmark struct {
	workers string
	rate    float64
}

// parseBenchmark reads lines such as "BenchmarkPlace/1000 123 456 ns/op 789 placements/s".
func parseBenchmark(text string) (all []benchmark) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], "BenchmarkPlace/") {
			continue
		}
		_, workers, _ := strings.Cut(f[0], "/")
		workers, _, _ = strings.Cut(workers, "-")
		for i := 1; i < len(f); i++ {
			if rate, err := strconv.ParseFloat(f[i-1], 64); err == nil && f[i] == "placements/s" {
				all = append(all, benchmark{workers, rate})
			}
		}
	}
	return all
}
