// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// ProgramTime is what one eBPF program took in a slice.
type ProgramTime struct {
	Name string
	// Each is how long one run took, PerUnit how many runs a unit of work took.
	Each    time.Duration
	PerUnit float64
}

// Programs measures a slice while the kernel takes the time of every eBPF program, which costs some tens of nanoseconds a run itself. It
// returns the processor time of a unit, and the programs that ran, the most expensive first.
func (s *Stage) Programs(ctx context.Context, slice plan.Slice) (cost float64, out []ProgramTime, err error) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return 0, nil, fmt.Errorf("have the kernel time programs: %w", err)
	}
	defer func() { _ = stats.Close() }()
	before, err := programStats()
	if err != nil {
		return 0, nil, err
	}
	r, err := s.Measure(ctx, slice)
	if err != nil {
		return 0, nil, err
	}
	after, err := programStats()
	if err != nil {
		return 0, nil, err
	}
	// Programs ran while the traffic warmed up, too; their runs are spread over the whole time.
	share := float64(r.Wall) / float64(r.Wall+warm)
	for id, a := range after {
		runs, took := a.runs-before[id].runs, a.took-before[id].took
		if perUnit := float64(runs) * share / float64(r.Units); runs > 0 {
			out = append(out, ProgramTime{Name: a.name, Each: took / time.Duration(runs), PerUnit: perUnit})
		}
	}
	slices.SortFunc(out, func(a, b ProgramTime) int {
		return cmp.Compare(b.PerUnit*float64(b.Each), a.PerUnit*float64(a.Each))
	})
	return r.Cost(), out, nil
}

// ErrTimed is returned while the kernel takes the time of every run of every eBPF program: that costs more than some programs do.
var ErrTimed = errors.New("the kernel is timing eBPF programs, which costs them up to a tenth of a microsecond a run: " +
	"set kernel.bpf_stats_enabled to 0, and end what else asked for it")

// timedRuns counts the runs of all programs that were timed so far. It stands still unless somebody has the kernel time them.
func timedRuns() (total uint64, err error) {
	all, err := programStats()
	for _, p := range all {
		total += p.runs
	}
	return total, err
}

// Untimed runs f and returns [ErrTimed] if programs were timed meanwhile, whatever they were.
func Untimed(f func() error) error {
	before, err := timedRuns()
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	after, err := timedRuns()
	if err == nil && after > before {
		err = ErrTimed
	}
	return err
}

type programStat struct {
	name string
	runs uint64
	took time.Duration
}

// programStats reads the counters of all programs on the machine, by their ids.
func programStats() (map[ebpf.ProgramID]programStat, error) {
	out := map[ebpf.ProgramID]programStat{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list eBPF programs: %w", err)
		}
		id = next
		stat, err := programStatOf(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // unloaded meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look at eBPF program %d: %w", id, err)
		}
		out[id] = stat
	}
}

func programStatOf(id ebpf.ProgramID) (out programStat, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return out, err
	}
	defer func() { _ = p.Close() }()
	info, err := p.Info()
	if err != nil {
		return out, err
	}
	stats, err := p.Stats()
	if err != nil {
		return out, err
	}
	return programStat{name: info.Name, runs: stats.RunCount, took: stats.Runtime}, nil
}
