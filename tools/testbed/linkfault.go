// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// MaxDelay bounds a delay, in milliseconds.
const MaxDelay = 10_000

// AddCut cuts host a from b, or from everything if b is empty. Packets are lost without notice.
func (t *Testbed) AddCut(ctx context.Context, a, b string) error {
	return t.cut(ctx, underlay.Cut{A: a, B: b})
}

// AddOneWay has what host a sends to b vanish; what b sends to a arrives.
func (t *Testbed) AddOneWay(ctx context.Context, a, b string) error {
	return t.cut(ctx, underlay.Cut{A: a, B: b, OneWay: true})
}

// cut adds a cut, in place of any other between the same two.
func (t *Testbed) cut(ctx context.Context, c underlay.Cut) error {
	return t.changeFaults(ctx, c.A, c.B, func(s *state) {
		s.Cuts = append(slices.DeleteFunc(s.Cuts, func(o underlay.Cut) bool { return o.Between(c.A, c.B) }), c)
	})
}

// AddDelay has every packet between hosts a and b take so many milliseconds longer, each way. It replaces an earlier delay.
func (t *Testbed) AddDelay(ctx context.Context, a, b string, ms int) error {
	if ms < 1 || ms > MaxDelay {
		return fmt.Errorf("delay packets by %d ms: give 1 to %d; \"heal\" ends a delay", ms, MaxDelay)
	}
	return t.changeFaults(ctx, a, b, func(s *state) {
		s.Delays = append(slices.DeleteFunc(s.Delays, func(o underlay.Delay) bool { return ofPair(o, a, b) }),
			underlay.Delay{A: a, B: b, Milliseconds: ms})
	})
}

// Heal undoes every fault between a and b; with an empty b, every one that a is part of.
func (t *Testbed) Heal(ctx context.Context, a, b string) error {
	return t.changeFaults(ctx, a, b, func(s *state) {
		s.Cuts = slices.DeleteFunc(s.Cuts, func(o underlay.Cut) bool {
			return o.Between(a, b) || (b == "" && (o.A == a || o.B == a))
		})
		s.Delays = slices.DeleteFunc(s.Delays, func(o underlay.Delay) bool {
			return ofPair(o, a, b) || (b == "" && (o.A == a || o.B == a))
		})
	})
}

func ofPair(d underlay.Delay, a, b string) bool { return d.A == a && d.B == b || d.A == b && d.B == a }

func (t *Testbed) changeFaults(ctx context.Context, a, b string, change func(*state)) error {
	for _, h := range []string{a, b} {
		if h == "" {
			continue
		}
		host, err := t.Host(h)
		if err != nil {
			return err
		}
		if host.Router != "" {
			return fmt.Errorf("host %s is behind %s: break the way of that", h, host.Router)
		}
	}
	if a == b {
		return fmt.Errorf("break the way of host %s to itself: name two hosts, or one", a)
	}
	return locked(ctx, func() error {
		s, err := loadState()
		if err != nil {
			return err
		}
		if s == nil {
			return ErrDown
		}
		before := underlay.Paths(s.Cuts, s.Delays)
		change(s)
		if err := s.apply(ctx, before); err != nil {
			return err
		}
		t.state.Cuts, t.state.Delays = s.Cuts, s.Delays
		return s.save()
	})
}

// apply makes the network what the state says. before is what the relay does now.
func (s *state) apply(ctx context.Context, before []underlay.PathSpec) error {
	plain, err := underlay.KeepPlain(s.Delays, s.Plain)
	s.Plain = plain
	if err != nil {
		return errors.Join(err, s.save()) // which links were changed has to be known, whatever comes
	}
	paths := underlay.Paths(s.Cuts, s.Delays)
	if !slices.Equal(before, paths) {
		if err := s.relay(ctx, paths); err != nil {
			return err
		}
	}
	return underlay.ApplyFaults(ctx, s.Cuts, s.Delays)
}

// relay has one process carry what is delayed, in place of the one that does so now.
func (s *state) relay(ctx context.Context, paths []underlay.PathSpec) error {
	t := &Testbed{state: s}
	c := t.component(progRelay, Machine, s.Self, "relay", "--ready-socket", relaySocket)
	if old, err := component(c.String()); err == nil {
		if err := old.kill(ctx); err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
		if err := os.Remove(old.file()); err != nil {
			return fmt.Errorf("forget %s: %w", old, err)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	for _, p := range paths {
		text, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("write a path for %s: %w", c, err)
		}
		c.Spec.Args = append(c.Spec.Args, "--path", string(text))
	}
	c.Ready, c.Socket = Probe{Socket: relaySocket}, relaySocket
	if err := c.start(); err != nil {
		return err
	}
	return c.waitReady(ctx)
}

// Relay carries what is delayed until ctx ends. It listens on the socket once it does.
func Relay(ctx context.Context, paths []string, socket string) (err error) {
	for _, text := range paths {
		var spec underlay.PathSpec
		if err := json.Unmarshal([]byte(text), &spec); err != nil {
			return fmt.Errorf("read path %q: %w", text, err)
		}
		path, err := underlay.OpenPath(spec)
		if err != nil {
			return err
		}
		defer func() { _ = path.Close() }()
	}
	return answer(ctx, socket)
}
