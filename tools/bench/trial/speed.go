// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

// How long changes are made at most; a peer that needs seconds for one is known well enough after a few.
const (
	changePatience = 15 * time.Second
	// settled is how long it takes Go to use processors that it was pinned off.
	settled = 2 * time.Second
)

// Speed measures how fast a setup takes each of so many changes; how fast it took its services in was measured when it was built.
func (s *Stage) Speed(ctx context.Context, setup plan.Setup, changes int) (out session.Speed, err error) {
	p := s.setups[setup]
	if p == nil || setup.Services == 0 {
		return out, fmt.Errorf("measure the speed of %s: it is not built, or has no services", setup.Name())
	}
	out = session.Speed{Way: string(setup.Way), Services: setup.Services, Endpoints: setup.Endpoints, Load: p.loaded.Seconds()}
	var took []time.Duration
	if p.overlay != nil {
		if err := p.overlay.Pin(s.all); err != nil {
			return out, err
		}
		time.Sleep(settled)
		changed, cerr := p.overlay.Change(ctx, changes)
		took, err = changed.Published, cerr
		out.ArrivedP50, out.ArrivedP99 = milliseconds(changed.ArrivedP50), milliseconds(changed.ArrivedP99)
	} else {
		took, err = changeRules(ctx, p, changes, changePatience)
	}
	if err != nil {
		return out, fmt.Errorf("measure the speed of %s: %w", setup.Name(), err)
	}
	var ms []float64
	for _, d := range took {
		ms = append(ms, milliseconds(d))
	}
	out.Changes, out.P50, out.P99 = len(ms), stats.Quantile(ms, 0.5), stats.Quantile(ms, 0.99)
	return out, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
