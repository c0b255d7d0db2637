// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Converge is how long after the heal everything may take to be as it should.
const Converge = 30 * time.Second

// Run does the steps of a plan, one after the other.
type Run struct {
	World *World
	// Log is told of each step; Done, if not nil, is called after each that has passed.
	Log  io.Writer
	Done func(step int) error
	// Until, if not zero, is when no further step is begun.
	Until time.Time

	writer *writer
}

// NewRun prepares a run whose writer takes a seed of its own.
func NewRun(w *World, seed uint64, log io.Writer) *Run {
	return &Run{World: w, Log: log, writer: newWriter(w, seed)}
}

func (r *Run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Log, format+"\n", args...)
}

// Steps does the steps and stops at the first after which something is wrong.
func (r *Run) Steps(ctx context.Context, steps []Step) error {
	if _, err := r.settled(ctx, 2*Converge); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	for _, s := range steps {
		if !r.Until.IsZero() && time.Now().After(r.Until) {
			r.say("the time is up before step %d: the same again goes on there", s.N)
			break
		}
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("step %s: %w", s, err)
		}
		if r.Done != nil {
			if err := r.Done(s.N); err != nil {
				return err
			}
		}
	}
	r.say("%d writes were acknowledged, %d refused", r.writer.acknowledged, r.writer.refused)
	return nil
}

// step does one step while the application serves and somebody writes, and judges what is true afterwards.
func (r *Run) step(ctx context.Context, s Step) error {
	before, err := Judge(ctx, r.World.Testbed)
	if err != nil {
		return err
	}
	failures := func() error { return nil }
	if s.harmless() {
		if failures, err = r.World.load(ctx, r.seconds(s)); err != nil {
			return err
		}
	}
	writing, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() { r.writer.run(writing); close(stopped) }()
	err = s.Do(ctx, r.World.Testbed)
	healed := time.Now()
	stop()
	<-stopped
	if err != nil {
		return err
	}
	after, err := r.settled(ctx, Converge)
	if err != nil {
		return err
	}
	took := time.Since(healed)
	if err := r.same(s, before, after); err != nil {
		return err
	}
	if err := failures(); err != nil {
		return err
	}
	r.say("%s  %s; all is well after %s", time.Now().UTC().Format(time.RFC3339), s, took.Round(time.Millisecond))
	return nil
}

// seconds is how long the load has to go on so that it covers a step.
func (r *Run) seconds(s Step) int {
	longest := s.Faults[0].Hold
	if len(s.Faults) > 1 {
		longest = max(longest, s.Lag+s.Faults[1].Hold)
	}
	return int(longest/time.Second) + 3
}

// settled waits until everything is as it should be, and everybody answers.
func (r *Run) settled(ctx context.Context, within time.Duration) (v *Verdict, err error) {
	err = scene.Until(ctx, within, func(ctx context.Context) error {
		if v, err = Judge(ctx, r.World.Testbed); err != nil {
			return err
		}
		if wrong := slices.Concat(v.Wrong, r.writer.lost(v)); len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "\n  "))
		}
		return r.World.Answers(ctx)
	})
	return v, err
}

// same checks that nothing was stopped, restarted or moved that nobody has asked for. A reboot restarts what its host runs, on that host.
func (r *Run) same(s Step, before, after *Verdict) error {
	var rebooted []string
	for _, f := range s.Faults {
		if f.Kind == Reboot {
			rebooted = append(rebooted, f.Target)
		}
	}
	var wrong []string
	for _, id := range slices.Sorted(maps.Keys(before.Tasks)) {
		i, _ := parseContainer(id)
		if _, asked := r.writer.removed[i.key()]; asked {
			continue
		}
		pid, there := after.Tasks[id]
		switch {
		case !there:
			wrong = append(wrong, fmt.Sprintf("container %s was stopped or moved", id))
		case pid != before.Tasks[id] && !slices.Contains(rebooted, after.want.copies[i]):
			wrong = append(wrong, fmt.Sprintf("container %s was restarted", id))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n  "))
	}
	return nil
}

// HostsOf returns whom faults of a testbed can befall.
func HostsOf(t *testbed.Testbed) (h Hosts) {
	for _, c := range t.Hosts(testbed.RoleCluster) {
		h.Clusters = append(h.Clusters, c.Name)
	}
	for _, w := range t.Hosts(testbed.RoleWorker) {
		h.Workers = append(h.Workers, w.Name)
	}
	return h
}
