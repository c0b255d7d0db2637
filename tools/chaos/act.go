// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// endTimeout bounds how long Postgres may take to end at once.
const endTimeout = 20 * time.Second

// Do does the faults of a step and undoes them. It returns when all is mended, which says nothing of what follows from it; and whether there
// were two, of which the second began before the first was undone.
func (s Step) Do(ctx context.Context, t *testbed.Testbed) (overlapped bool, err error) {
	errs := make([]error, len(s.Faults))
	begun, undone := make([]time.Time, len(s.Faults)), make([]time.Time, len(s.Faults))
	var wg sync.WaitGroup
	for i, f := range s.Faults {
		wg.Go(func() {
			pause(ctx, s.Lag*time.Duration(i))
			begun[i] = time.Now()
			if err := f.do(ctx, t); err != nil {
				errs[i] = fmt.Errorf("%s: %w", f, err)
			}
			undone[i] = time.Now()
		})
	}
	wg.Wait()
	overlapped = len(begun) == 2 && begun[1].Before(undone[0])
	// Of two that befall the same, one may have undone what the other had just begun.
	return overlapped, errors.Join(append(errs, mend(ctx, t, s.Faults))...)
}

func (f Fault) do(ctx context.Context, t *testbed.Testbed) error {
	var err error
	switch f.Kind {
	case Reboot:
		return t.Reboot(ctx, f.Target)
	case CutHost, CutPair:
		err = t.AddCut(ctx, f.Target, f.Other)
	case OneWay:
		err = t.AddOneWay(ctx, f.Target, f.Other)
	case DelayPair:
		err = t.AddDelay(ctx, f.Target, f.Other, f.Milliseconds)
	case StopEngine, StopNet, StopCluster, StopRoot, StopBroker:
		err = testbed.Stop(ctx, f.Target)
	case EndPostgres:
		err = EndAtOnce(ctx)
	default:
		err = testbed.Kill(ctx, f.Target)
	}
	if err != nil && !errors.Is(err, proc.ErrGone) {
		return err
	}
	pause(ctx, f.Hold)
	switch f.Kind {
	case CutHost, CutPair, OneWay, DelayPair:
		return t.Heal(ctx, f.Target, f.Other)
	case StopEngine, StopNet, StopCluster, StopRoot, StopBroker:
		if err := testbed.Cont(ctx, f.Target); err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
		return nil
	}
	return testbed.Restart(ctx, f.Target)
}

// mend makes sure that everything that two faults have befallen runs, and that the network is whole.
func mend(ctx context.Context, t *testbed.Testbed, faults []Fault) error {
	if len(faults) < 2 {
		return nil
	}
	var errs []error
	for _, f := range faults {
		if f.Kind == CutHost || f.Kind == CutPair || f.Kind == OneWay || f.Kind == DelayPair {
			errs = append(errs, t.Heal(ctx, f.Target, f.Other))
		}
	}
	all, err := testbed.Components()
	if err != nil {
		return err
	}
	for _, c := range all {
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Target == c.String() || f.Kind == Reboot && f.Target == c.Host }) {
			continue
		}
		switch c.Process.State() {
		case proc.Dead:
			errs = append(errs, testbed.Restart(ctx, c.String()))
		case proc.Stopped:
			errs = append(errs, testbed.Cont(ctx, c.String()))
		}
	}
	return errors.Join(errs...)
}

// revive does what a service manager does for a cluster orchestrator that has ended because another one took over, as one does that was
// held: it starts it again, to stand by. Whatever else has ended without having been killed is an error.
func revive(ctx context.Context, t *testbed.Testbed) error {
	all, err := testbed.Components()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Process.State() != proc.Dead {
			continue
		}
		deposed, err := saysLast(c.Spec.Log, deposedMessage)
		if err != nil {
			return err
		}
		if len(t.Hosts(testbed.RoleStandby)) == 0 || c.Name != "cluster-orchestrator" || !deposed {
			return fmt.Errorf("%s has ended by itself: see %s", c, c.Spec.Log)
		}
		if err := testbed.Restart(ctx, c.String()); err != nil {
			return err
		}
	}
	return nil
}

// deposedMessage is what a cluster orchestrator says at last when another one has taken over.
const deposedMessage = "taken over"

// saysLast reports whether the end of a log says something.
func saysLast(file, text string) (bool, error) {
	const end = 2 << 10
	raw, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("read why a component has ended: %w", err)
	}
	return bytes.Contains(raw[max(0, len(raw)-end):], []byte(text)), nil
}

// EndAtOnce ends Postgres as pg_ctl stop -m immediate does: without a checkpoint or a word to its clients.
func EndAtOnce(ctx context.Context) error {
	all, err := testbed.Components()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(c testbed.Component) bool { return c.Name == "postgres" })
	if i < 0 {
		return errors.New("end Postgres: the testbed has none")
	}
	if err := all[i].Process.Signal(syscall.SIGQUIT); err != nil {
		return fmt.Errorf("end Postgres at once: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	return all[i].Process.Wait(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
