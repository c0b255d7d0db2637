// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/probe"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// judged is a verdict on the copy with this id.
type judged struct {
	id       string
	liveness bool
	verdict  probe.Verdict
}

// target is a copy as probes reach it.
type target struct {
	spaces Namespaces
	rt     runtime.Runtime
	id     string
}

func (t target) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	return t.spaces.Dial(ctx, t.id, port)
}

func (t target) Execute(ctx context.Context, command []string) (uint32, error) {
	e, ok := t.rt.(runtime.Executor)
	if !ok {
		return 0, errors.New("instances of this runtime can run no command: let the descriptor ask by http or tcp")
	}
	return e.Execute(ctx, t.id, command)
}

// startProbes asks the running copy what its descriptor has it asked, until ctx ends.
func (c *actor) startProbes(ctx context.Context, ready, alive probe.Start) {
	t := target{c.a.opts.Namespaces, c.a.opts.Runtimes[c.have.Spec.Runtime], c.have.ID()}
	ask := func(p *wire.Probe, start probe.Start, liveness bool) {
		if p == nil {
			return
		}
		c.a.wg.Go(func() {
			probe.Watch(ctx, p, t, start, func(v probe.Verdict) {
				select {
				case c.told <- judged{t.id, liveness, v}:
				case <-ctx.Done():
				}
			})
		})
	}
	ask(c.have.Spec.Readiness, ready, false)
	ask(c.have.Spec.Liveness, alive, true)
}

// onVerdict takes a verdict in: one that is not ready is told so, one that does not live is ended next.
func (c *actor) onVerdict(j judged) {
	if c.have == nil || c.phase != runtime.PhaseRunning || j.id != c.have.ID() {
		return
	}
	if j.liveness {
		if !j.verdict.OK {
			c.sick, c.due = j.verdict.Why, time.Time{}
		}
		return
	}
	c.ready, c.doubt = &j.verdict.OK, ""
	if !j.verdict.OK {
		c.doubt = "not ready: " + j.verdict.Why
	}
	c.log.Info("readiness", "generation", c.have.Generation.String(), "ready", j.verdict.OK, "detail", c.doubt)
	c.report(wire.StateRunning, c.runningDetail())
}
