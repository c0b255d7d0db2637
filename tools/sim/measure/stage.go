// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
)

// image is what hollow workers do not run.
const image = "example.org/hollow:1"

// upTimeout bounds how long it takes until a fleet has joined and is connected.
const upTimeout = 5 * time.Minute

// stage is a bed with a fleet.
type stage struct {
	*bed.Bed
	fleet  *fleet.Fleet
	joined time.Duration
	said   func(string, ...any)
}

// raise brings a bed up and has a fleet join.
func raise(ctx context.Context, o *Options, b bed.Options, f fleet.Options) (_ *stage, err error) {
	b.Bin = o.Bin
	s := &stage{said: o.Say}
	if s.Bed, err = bed.Up(ctx, b); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	within, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if f.Token, err = s.WorkerToken(within, f.Workers); err != nil {
		return nil, err
	}
	f.Cluster, f.Seed = s.ClusterAPI, o.Seed
	began := time.Now()
	if s.fleet, err = fleet.Start(within, f); err != nil {
		return nil, err
	}
	if err := s.until(within, "all workers are connected", func() bool { return s.fleet.Connected() == f.Workers }); err != nil {
		return nil, err
	}
	s.joined = time.Since(began)
	return s, nil
}

func (s *stage) close() {
	if s.fleet != nil {
		s.fleet.Close()
	}
	s.Down()
}

// until waits for something, as long as ctx and the bed's processes do.
func (s *stage) until(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(context.Cause(ctx), s.Check()))
		case <-tick.C:
		}
	}
	return nil
}

// rest lets time pass.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// use is what a process has taken while something went on.
type use struct {
	// rss and peak are resident memory in bytes; cores is processor time over time.
	rss, peak int64
	cores     float64
}

// during lets time pass and says what processes take meanwhile.
func during(ctx context.Context, d time.Duration, processes ...*bed.Process) ([]use, error) {
	cpu := func() (all []time.Duration, err error) {
		for _, p := range processes {
			t, err := p.TreeCPU()
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
		return all, nil
	}
	before, err := cpu()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	peaks := make([]int64, len(processes))
	for time.Since(began) < d {
		if err := rest(ctx, min(time.Second, d)); err != nil {
			return nil, err
		}
		for i, p := range processes {
			u, err := p.Usage()
			if err != nil {
				return nil, err
			}
			peaks[i] = max(peaks[i], u.RSS)
		}
	}
	after, err := cpu()
	if err != nil {
		return nil, err
	}
	var all []use
	for i, p := range processes {
		u, err := p.Usage()
		if err != nil {
			return nil, err
		}
		all = append(all, use{rss: u.RSS, peak: peaks[i], cores: float64(after[i]-before[i]) / float64(time.Since(began))})
	}
	return all, nil
}
