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
	Done func(Passed) error
	// Until, if not zero, is when no further step is begun.
	Until time.Time

	writer *writer
	// restored says that root's database was replaced by an older one.
	restored bool
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
	v, err := r.settled(ctx, 2*Converge)
	if err == nil {
		err = r.World.spread(v)
	}
	if err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	for _, s := range steps {
		if !r.Until.IsZero() && time.Now().After(r.Until) {
			r.say("the time is up before step %d: the same again goes on there", s.N)
			break
		}
		var p Passed
		if p, v, err = r.step(ctx, s, v); err != nil {
			return fmt.Errorf("step %s: %w", s, err)
		}
		if r.Done != nil {
			if err := r.Done(p); err != nil {
				return err
			}
		}
	}
	r.say("%d writes were acknowledged, %d refused", r.writer.acknowledged, r.writer.refused)
	if r.writer.refused > r.writer.acknowledged {
		return fmt.Errorf("%d of %d writes were refused, the last with: %w", r.writer.refused, r.writer.refused+r.writer.acknowledged, r.writer.refusal)
	}
	return nil
}

// WriteUntil deploys, scales and deletes until then, with nothing broken.
func (r *Run) WriteUntil(ctx context.Context, end time.Time) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	r.writer.run(ctx)
}

// step does one step while the application serves and somebody writes, and judges what is true afterwards. before is what was true after
// the step before it.
func (r *Run) step(ctx context.Context, s Step, before *Verdict) (p Passed, after *Verdict, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failures := func() error { return nil }
	if s.harmless() {
		if failures, err = r.World.load(ctx); err != nil {
			return p, nil, err
		}
	}
	writing, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() { r.writer.run(writing); close(stopped) }()
	p.Overlapped, err = s.Do(ctx, r.World.Testbed)
	healed := time.Now()
	stop()
	<-stopped
	if err != nil {
		return p, nil, err
	}
	if after, err = r.settled(ctx, Converge); err != nil {
		return p, nil, err
	}
	took := time.Since(healed)
	if err := r.same(s, before, after); err != nil {
		return p, nil, err
	}
	if err := failures(); err != nil {
		return p, nil, err
	}
	for _, f := range s.Faults {
		p.Kinds = append(p.Kinds, f.Kind)
	}
	p.Milliseconds = took.Milliseconds()
	r.say("%s  %s; all is well after %s", time.Now().UTC().Format(time.RFC3339), s, took.Round(time.Millisecond))
	return p, after, nil
}

// settled waits until everything is as it should be, and everybody answers.
func (r *Run) settled(ctx context.Context, within time.Duration) (v *Verdict, err error) {
	err = scene.Until(ctx, within, func(ctx context.Context) error {
		if err := revive(ctx, r.World.Testbed); err != nil {
			return err
		}
		if v, err = r.judge(ctx); err != nil {
			return err
		}
		if wrong := slices.Concat(v.Wrong, r.writer.lost(v)); len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "\n  "))
		}
		return r.World.Answers(ctx, v)
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
	r.writer.mu.Lock()
	defer r.writer.mu.Unlock()
	wrong := stopped(before, after, func(i instance) bool {
		_, removed := r.writer.removed[i.key()]
		return removed || r.writer.dropped[before.want.applicationOf[i.service]]
	})
	wrong = slices.DeleteFunc(wrong, func(text string) bool {
		return slices.ContainsFunc(rebooted, func(host string) bool { return strings.HasSuffix(text, "was restarted on "+host) })
	})
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n  "))
	}
	return nil
}

// stopped says which containers were stopped, moved or restarted that nobody has asked for.
func stopped(before, after *Verdict, asked func(instance) bool) (wrong []string) {
	for _, id := range slices.Sorted(maps.Keys(before.Tasks)) {
		i, _ := parseContainer(id)
		pid, there := after.Tasks[id]
		switch {
		case asked(i):
		case !there:
			wrong = append(wrong, fmt.Sprintf("container %s was stopped or moved", id))
		case pid != before.Tasks[id]:
			wrong = append(wrong, fmt.Sprintf("container %s was restarted on %s", id, after.want.copies[i]))
		}
	}
	return wrong
}

func (r *Run) judge(ctx context.Context) (*Verdict, error) {
	return judge(ctx, r.World.Testbed, r.restored)
}

// HostsOf returns whom faults of a testbed can befall.
func HostsOf(t *testbed.Testbed) (h Hosts) {
	for role, names := range map[testbed.Role]*[]string{
		testbed.RoleRoot: &h.Roots, testbed.RoleCluster: &h.Clusters, testbed.RoleStandby: &h.Standbys, testbed.RoleWorker: &h.Workers,
	} {
		for _, one := range t.Hosts(role) {
			*names = append(*names, one.Name)
		}
	}
	return h
}
