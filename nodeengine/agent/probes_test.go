// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// door is a workload's port: open or closed.
type door struct {
	open  atomic.Bool
	knock atomic.Int64
}

func (d *door) dial(context.Context, string, uint16) (net.Conn, error) {
	d.knock.Add(1)
	if !d.open.Load() {
		return nil, errors.New("connection refused")
	}
	mine, other := net.Pipe()
	_ = other.Close()
	return mine, nil
}

func probed(period, failures int) *wire.Probe {
	return &wire.Probe{TCP: &wire.TCPProbe{Port: 80}, PeriodSeconds: period, FailureThreshold: failures}
}

func TestReadinessIsTold(t *testing.T) {
	w := newWorker(t)
	d := &door{}
	w.spaces.dial = d.dial
	in := want(svcA, gen(1, 1))
	in.Spec.Readiness = probed(1, 1)
	w.apply(desired(1, 1, list(in)))
	r := w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	if r.Ready == nil || *r.Ready || !strings.Contains(r.Detail, "TCP connection to port 80") {
		t.Fatalf("before it was asked: %+v", r)
	}
	since := r.Since
	d.open.Store(true)
	isReady := func(is bool) func() bool {
		return func() bool {
			r := w.row(svcA, gen(1, 1))
			return r.State == wire.StateRunning && r.Ready != nil && *r.Ready == is
		}
	}
	w.eventually("ready", isReady(true))
	d.open.Store(false)
	w.eventually("not ready", isReady(false))
	if r := w.row(svcA, gen(1, 1)); !strings.Contains(r.Detail, "not ready: TCP connection to port 80: connection refused") || !r.Since.Equal(since) || r.Restarts != 0 {
		t.Fatalf("%+v", r)
	}
	d.open.Store(true)
	w.eventually("ready again", isReady(true))

	// A restart of the program is not an event: nothing is told until the workload was asked.
	d.open.Store(false)
	w.eventually("not ready before the restart", isReady(false))
	w.restart()
	w.eventually("asked, and told at the first answer", isReady(false))
	if w.runtime.creates != 1 {
		t.Errorf("created %d times", w.runtime.creates)
	}

	w.runtime.end(t, id(svcA, gen(1, 1)), 1) // the next life begins as not ready
	w.eventually("runs anew", func() bool { r := w.row(svcA, gen(1, 1)); return r.Restarts >= 1 && r.State == wire.StateRunning })
	if r := w.row(svcA, gen(1, 1)); r.Ready == nil || *r.Ready {
		t.Errorf("%+v", r)
	}
}

func TestLivenessFailureRestartsWithTheReason(t *testing.T) {
	w := newWorker(t)
	d := &door{}
	w.spaces.dial = d.dial
	in := want(svcA, gen(1, 1))
	in.Spec.Liveness = probed(1, 1)
	w.apply(desired(1, 1, list(in)))
	w.eventually("restarted", func() bool {
		r := w.row(svcA, gen(1, 1))
		return r.Restarts >= 1 && r.State == wire.StateRunning &&
			strings.Contains(r.Detail, "liveness probe failed: TCP connection to port 80: connection refused")
	})
	d.open.Store(true)
	asked := d.knock.Load()
	w.eventually("asked again", func() bool { return d.knock.Load() > asked+1 }) // the one under way may have failed still
	before := w.awaitState(svcA, gen(1, 1), wire.StateRunning).Restarts
	asked = d.knock.Load()
	w.eventually("asked again", func() bool { return d.knock.Load() > asked+1 })
	if r := w.row(svcA, gen(1, 1)); r.State != wire.StateRunning || r.Restarts != before {
		t.Errorf("restarted although it is well: %s, %d restarts, %d before", r.State, r.Restarts, before)
	}
}

func TestLivenessFailureIsTheEndWithoutRestarts(t *testing.T) {
	w := newWorker(t)
	w.spaces.dial = (&door{}).dial
	in := restarting(wire.RestartNever, 0)
	in.Spec.Liveness = probed(1, 1)
	w.apply(desired(1, 1, list(in)))
	r := w.awaitState(svcA, gen(1, 1), wire.StateDead)
	if !strings.Contains(r.Detail, "liveness probe failed") {
		t.Errorf("%+v", r)
	}
	w.eventually("addresses are given back", func() bool { return !w.net.has(key(svcA)) })
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateDead)
}

func TestProbesEndWithTheirInstance(t *testing.T) {
	w := newWorker(t)
	d := &door{}
	d.open.Store(true)
	w.spaces.dial = d.dial
	in := want(svcA, gen(1, 1))
	in.Spec.Readiness, in.Spec.Liveness = probed(1, 1), probed(1, 1)
	w.apply(desired(1, 1, list(in)))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	w.stop() // waits for all goroutines
	asked := d.knock.Load()
	if d.knock.Load() != asked {
		t.Error("asked after its end")
	}
}
