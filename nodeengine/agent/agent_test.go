// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

func TestDesiredRunsAndTombstoneStops(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)), want(svcB, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.awaitState(svcB, gen(1, 1), wire.StateRunning)
	if !w.net.has(key(svcA)) {
		t.Error("started without addresses")
	}
	w.apply(desired(1, 2, list(want(svcB, gen(1, 1))), tomb(svcA, gen(1, 9))))
	w.awaitState(svcA, gen(1, 9), wire.StateUndeployed)
	w.eventually("addresses are given back", func() bool { return !w.net.has(key(svcA)) })
	if n, _ := w.runtime.running(""); n != 1 || w.spaces.ids[id(svcA, gen(1, 1))] {
		t.Errorf("%d run, namespaces %v", n, w.spaces.ids)
	}
	if rows := w.agent.Instances(); len(rows) != 2 {
		t.Errorf("the undeployed instance has more rows than its tombstone's: %+v", rows)
	}
	w.apply(desired(1, 3, list(want(svcB, gen(1, 1)))))
	w.eventually("the tombstone is forgotten", func() bool { return len(w.agent.Instances()) == 1 })
}

// TestNoContainerWithoutNetwork: a container is made beside its network, so it is taken back once if NetManager does not answer; after that it
// waits for the network.
func TestNoContainerWithoutNetwork(t *testing.T) {
	w := newWorker(t)
	w.net.set(true)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	deadline := time.Now().Add(20 * time.Second)
	for w.net.asked.Load() < 4 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	w.runtime.mu.Lock()
	creates, copies := w.runtime.creates, len(w.runtime.copies)
	w.runtime.mu.Unlock()
	if w.net.asked.Load() < 4 || creates != 1 || copies != 0 {
		t.Errorf("NetManager was asked %d times; %d containers were made, %d are left", w.net.asked.Load(), creates, copies)
	}
	w.net.set(false)
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
}

func TestCopyLooksNamesUpAtItsGateway(t *testing.T) {
	w := newWorker(t)
	in := want(svcA, gen(1, 1))
	in.Spec.Organization = "acme"
	w.apply(desired(1, 1, list(in)))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.runtime.mu.Lock()
	nameserver, namespace := w.runtime.nameserver, w.runtime.namespace
	w.runtime.mu.Unlock()
	if nameserver.String() != "10.18.0.1" || namespace == "" {
		t.Errorf("made in %q, asks %s", namespace, nameserver)
	}
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	if a := w.net.endpoints[in.InstanceKey]; a.Organization != "acme" {
		t.Errorf("attached as %+v", a)
	}
}

func TestAbsenceStopsNothing(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.apply(desired(1, 2, nil))
	w.eventually("unclaimed", func() bool { return w.row(svcA, gen(1, 1)).Unclaimed })
	if r := w.row(svcA, gen(1, 1)); r.Spec == nil || r.Spec.Image != "img" || r.State != wire.StateRunning {
		t.Fatalf("%+v", r)
	}
	rows, _, applied := w.agent.TakeReport()
	if len(rows) != 1 || !rows[0].Unclaimed || applied.Revision != 2 {
		t.Fatalf("reported %+v at %s", rows, applied)
	}
	w.restart()
	if r := w.awaitState(svcA, gen(1, 1), wire.StateRunning); !r.Unclaimed {
		t.Fatalf("after a restart: %+v", r)
	}
	if w.runtime.creates != 1 {
		t.Fatalf("created %d times", w.runtime.creates)
	}
	w.apply(desired(1, 3, list(want(svcA, gen(1, 1)))))
	w.eventually("claimed", func() bool { return !w.row(svcA, gen(1, 1)).Unclaimed })
}

func TestOlderStatesAreIgnored(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(2, 5, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	for _, d := range []wire.Desired{
		desired(2, 4, nil, tomb(svcA, gen(9, 9))), desired(1, 99, nil, tomb(svcA, gen(9, 9))), desired(2, 5, nil, tomb(svcA, gen(9, 9)))} {
		w.apply(d)
	}
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	if got := w.agent.Applied(); got != (wire.Stamp{Epoch: 2, Revision: 5}) {
		t.Fatalf("applied %s", got)
	}
	if n, _ := w.runtime.running(""); n != 1 || w.runtime.creates != 1 {
		t.Fatalf("%d run, created %d times", n, w.runtime.creates)
	}
	// A higher epoch with a lower revision is newer, and asks for a full report.
	w.agent.TakeReport()
	w.apply(desired(3, 1, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	if _, full, _ := w.agent.TakeReport(); !full {
		t.Error("a new epoch is not answered with everything")
	}
}

func TestStartsFromDiskWithNobodyAbove(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.stop()
	w.runtime.copies = map[string]*fakeCopy{} // a power cut
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
}

func TestHigherGenerationReplaces(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.apply(desired(1, 2, list(want(svcA, gen(2, 1))), tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(2, 1), wire.StateRunning)
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	if n, ok := w.runtime.running(id(svcA, gen(2, 1))); n != 1 || !ok {
		t.Fatalf("%d run", n)
	}
	// A lower generation starts nothing.
	w.apply(desired(1, 3, list(want(svcA, gen(1, 7)))))
	time.Sleep(20 * time.Millisecond)
	if r := w.row(svcA, gen(2, 1)); r.State != wire.StateRunning || !r.Unclaimed {
		t.Fatalf("%+v", r)
	}
	if e := w.net.endpoints[key(svcA)]; e.Generation != gen(2, 1) {
		t.Fatalf("endpoint of %s", e.Generation)
	}
}

func TestTombstoneDuringPullStopsIt(t *testing.T) {
	w := newWorker(t)
	began := make(chan struct{}, 1)
	w.runtime.pull = func(ctx context.Context, _ wire.InstanceSpec) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	<-began
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
}

func TestCrashRestartsWithBackOffAndSaysWhy(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	for n := range defaultAttempts + 1 {
		w.eventually("runs again", func() bool { r := w.row(svcA, gen(1, 1)); return r.State == wire.StateRunning && r.Restarts == n })
		w.runtime.end(t, id(svcA, gen(1, 1)), 3)
		w.eventually("tells", func() bool {
			r := w.row(svcA, gen(1, 1))
			return r.State != wire.StateRunning && strings.Contains(r.Detail, "code 3") || r.Restarts == n+1
		})
	}
	w.eventually("restarted", func() bool { return w.row(svcA, gen(1, 1)).Restarts == defaultAttempts+1 })
	if w.net.attaches < defaultAttempts {
		t.Error("not attached before each start")
	}
	w.restart()
	if r := w.awaitState(svcA, gen(1, 1), wire.StateRunning); r.Restarts != defaultAttempts+1 {
		t.Errorf("restarts are forgotten: %d", r.Restarts)
	}
}

func TestBackOffGrowsWithinBounds(t *testing.T) {
	o := Options{}
	o.setDefaults()
	for n, want := range map[int]time.Duration{1: 100 * time.Millisecond, 3: 400 * time.Millisecond, 9: 25600 * time.Millisecond, 10: 30 * time.Second, 1000: 30 * time.Second} {
		if got := o.backOff(n); got > want || got < want*3/4 {
			t.Errorf("after %d failures %s, want %s less up to a quarter", n, got, want)
		}
	}
}

func TestOneShotCompletesOnce(t *testing.T) {
	w := newWorker(t)
	d := want(svcA, gen(1, 1))
	d.Spec.OneShot = true
	w.apply(desired(1, 1, list(d)))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.runtime.end(t, id(svcA, gen(1, 1)), 1) // a failure is tried again
	w.eventually("tried again", func() bool { r := w.row(svcA, gen(1, 1)); return r.State == wire.StateRunning && r.Restarts == 1 })
	w.runtime.end(t, id(svcA, gen(1, 1)), 0)
	w.awaitState(svcA, gen(1, 1), wire.StateCompleted)
	w.eventually("addresses are given back", func() bool { return !w.net.has(key(svcA)) })
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateCompleted)
	if w.runtime.creates != 2 {
		t.Errorf("created %d times", w.runtime.creates)
	}
}

func TestImageErrorIsFailedUntilItIsThere(t *testing.T) {
	w := newWorker(t)
	w.runtime.pull = func(_ context.Context, s wire.InstanceSpec) error {
		return &runtime.ImageError{Image: s.Image, Registry: "reg:5000", Err: errors.New("not found"), WayOut: "push it"}
	}
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	r := w.awaitState(svcA, gen(1, 1), wire.StateFailed)
	for _, part := range []string{`"img"`, "reg:5000", "not found", "push it", "tried again in"} {
		if !strings.Contains(r.Detail, part) {
			t.Errorf("detail lacks %q: %s", part, r.Detail)
		}
	}
	w.runtime.mu.Lock()
	w.runtime.pull = nil
	w.runtime.mu.Unlock()
	if r := w.awaitState(svcA, gen(1, 1), wire.StateRunning); r.Detail != "" {
		t.Errorf("detail of a running instance: %q", r.Detail)
	}
}

func TestWithoutNetManagerNothingStartsAndNothingStops(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.net.set(true)
	w.apply(desired(1, 2, list(want(svcA, gen(1, 1)), want(svcB, gen(1, 1)))))
	w.eventually("tells what it waits for", func() bool {
		r := w.row(svcB, gen(1, 1))
		return r.State == wire.StateCreating && strings.Contains(r.Detail, "waits for the overlay")
	})
	w.agent.opts.LastBackOff = time.Hour
	if r := w.row(svcA, gen(1, 1)); r.State != wire.StateRunning {
		t.Fatalf("running instance is %s", r.State)
	}
	before := w.net.attaches
	w.net.endpoints[wire.InstanceKey{ServiceID: svcB, Number: 77}] = wire.LocalAttach{InstanceKey: wire.InstanceKey{ServiceID: svcB, Number: 77}}
	w.net.set(false)
	w.agent.NetworkBack(t.Context())
	w.awaitState(svcB, gen(1, 1), wire.StateRunning)
	w.eventually("running instances are attached again", func() bool { w.net.mu.Lock(); defer w.net.mu.Unlock(); return w.net.attaches >= before+2 })
	if w.net.has(wire.InstanceKey{ServiceID: svcB, Number: 77}) {
		t.Error("an endpoint without an instance is kept")
	}
}

func TestClusterHearsThatAnotherWorkerIsNeeded(t *testing.T) {
	w := newWorker(t)
	w.net.refuse(portTaken{})
	in := want(svcA, gen(1, 1))
	in.Spec.Ports = []wire.Port{{Host: 80, Container: 8080, Protocol: wire.ProtocolTCP}}
	w.apply(desired(1, 1, list(in)))
	w.eventually("says that it cannot take the instance", func() bool {
		r := w.row(svcA, gen(1, 1))
		return r.Elsewhere && r.State == wire.StateCreating && strings.Contains(r.Detail, "host port 80/tcp is in use")
	})
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r := w.row(svcA, gen(1, 1)); !r.Elsewhere || !strings.Contains(r.Detail, "in use") {
			t.Fatalf("trying on hides why: %+v", r)
		}
	}
	w.net.refuse(nil)
	if r := w.awaitState(svcA, gen(1, 1), wire.StateRunning); r.Elsewhere || r.Detail != "" {
		t.Errorf("a running instance is not to be moved: %+v", r)
	}
	if got := w.net.endpoints[key(svcA)].Ports; !slices.Equal(got, in.Spec.Ports) {
		t.Errorf("NetManager is told of ports %v", got)
	}
}

func TestStopDoesNotWaitForNetManager(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.net.set(true)
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	w.apply(desired(1, 3, nil)) // the tombstone is gone, the addresses are still to be given back
	w.net.set(false)
	w.eventually("addresses are given back", func() bool { return !w.net.has(key(svcA)) })
}

func TestFailingStopIsTriedAgain(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	fails := 3
	w.runtime.mu.Lock()
	w.runtime.remove = func(string) error {
		if fails--; fails >= 0 {
			return errors.New("busy")
		}
		return nil
	}
	w.runtime.mu.Unlock()
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	if n, _ := w.runtime.running(""); n != 0 {
		t.Fatal("told to be gone while it runs")
	}
}

func TestTwoGenerationsAfterACrashAreOne(t *testing.T) {
	w := newWorker(t)
	w.stop()
	for _, g := range []wire.Generation{gen(1, 1), gen(2, 1)} {
		in := runtime.Instance{InstanceKey: key(svcA), Generation: g, Spec: want(svcA, g).Spec}
		_ = w.runtime.Create(t.Context(), in, "")
		_ = w.runtime.Start(t.Context(), in.ID(), netip.Addr{})
	}
	w.restart()
	w.eventually("the older is gone", func() bool { n, ok := w.runtime.running(id(svcA, gen(2, 1))); return n == 1 && ok })
}

func TestHalfCreatedIsContinued(t *testing.T) {
	w := newWorker(t)
	w.stop()
	in := runtime.Instance{InstanceKey: key(svcA), Generation: gen(1, 1), Spec: want(svcA, gen(1, 1)).Spec}
	_ = w.runtime.Create(t.Context(), in, "")
	w.spaces.ids[id(svcB, gen(1, 1))] = true
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.eventually("left-over namespace is gone", func() bool { l, _ := w.spaces.List(); return len(l) == 1 })
}

func TestUnknownRuntimeIsNamed(t *testing.T) {
	w := newWorker(t)
	d := want(svcA, gen(1, 1))
	d.Spec.Runtime = "unikernel"
	w.apply(desired(1, 1, list(d)))
	w.eventually("detail", func() bool { return strings.Contains(w.row(svcA, gen(1, 1)).Detail, `"unikernel"`) })
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
}

func TestBadDesiredChangesNothing(t *testing.T) {
	w := newWorker(t)
	bad := desired(1, 1, list(want("../../etc", gen(1, 1))))
	newer := desired(1, 1, list(want(svcA, gen(1, 1))))
	newer.Format = wire.Format + 1
	negative := desired(1, 1, nil, wire.Tombstone{InstanceKey: wire.InstanceKey{ServiceID: svcA, Number: -1}})
	for _, d := range []wire.Desired{bad, newer, negative} {
		if err := w.agent.Apply(d); err == nil {
			t.Errorf("%+v was applied", d)
		}
	}
	if _, err := os.Stat(filepath.Join(w.dir, "desired.json")); err == nil {
		t.Error("a bad state was stored")
	}
}

func TestUsageIsReportedWhenNotable(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	now := time.Now()
	at := func(cpu time.Duration, memory int64, later time.Duration) int {
		w.agent.TakeReport()
		w.agent.noteUsage("container", map[string]runtime.Usage{id(svcA, gen(1, 1)): {CPU: cpu, MemoryBytes: memory}}, now.Add(later))
		rows, _, _ := w.agent.TakeReport()
		return len(rows)
	}
	at(0, 10<<20, 0)
	if at(50*time.Millisecond, 10<<20, time.Second) != 1 {
		t.Error("5 % of a processor is not told")
	}
	if at(110*time.Millisecond, 10<<20+1000, 2*time.Second) != 0 {
		t.Error("a change that is not notable is told")
	}
	if r := w.row(svcA, gen(1, 1)); r.CPUPercent != 5 || r.MemoryBytes != 10<<20 {
		t.Errorf("%+v", r)
	}
}
