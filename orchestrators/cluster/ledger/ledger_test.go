// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

var start = time.Unix(1_000_000, 0)

// bed is a ledger with a clock and workers that count their messages.
type bed struct {
	*Ledger
	now    time.Time
	rev    uint64
	called map[string]bool // services that are called
}

func (b *bed) TakeDesired(d *wire.ClusterDesired) Changes {
	return b.Ledger.TakeDesired(d, b.called, b.now)
}

func newBed(workers int) *bed {
	b := &bed{Ledger: New(Options{Start: start, Grace: DefaultGrace, Silent: DefaultSilent, LostAfter: DefaultLostAfter}), now: start}
	for i := range workers {
		id := fmt.Sprint("w", i+1)
		b.PutWorker(id, id, nil, true)
		b.alive(id, 1, true)
		b.info(id)
	}
	return b
}

func (b *bed) alive(w string, session uint64, present bool) {
	b.SeeEngine(w, wire.Alive{Session: session, Present: present}, b.now)
}

func (b *bed) stamp() wire.Header {
	b.rev++
	return wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev})
}

func (b *bed) info(w string) {
	b.SeeInformation(w, wire.Information{Header: b.stamp(), Architecture: "amd64", Runtimes: []string{"container"}, Overlay: true,
		Capacity: wire.Slot{VCPUs: 4, MemoryMB: 1000, StorageMB: 1000}}, b.now)
}

// later moves the clock on, with the named workers alive all the while.
func (b *bed) later(d time.Duration, alive ...string) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(min(2*time.Second, end.Sub(b.now)))
		for _, w := range alive {
			b.info(w)
		}
	}
}

func (b *bed) settle() Affected { return b.Apply(b.Reconcile(b.now)) }

const service = "5e5e5e5e5e5e5e5e5e5e5e5e"

func key(n int) wire.InstanceKey { return wire.InstanceKey{ServiceID: service, Number: n} }

func spec(cpu int) wire.InstanceSpec {
	return wire.InstanceSpec{VCPUs: cpu, MemoryMB: 100, Runtime: "container"}
}

func (b *bed) want(placement uint32, numbers ...int) {
	d := &wire.ClusterDesired{}
	for _, n := range numbers {
		d.Changed = append(d.Changed, wire.ClusterInstance{InstanceKey: key(n), Placement: placement, Spec: spec(1)})
	}
	b.Apply(b.TakeDesired(d))
}

func tombstone(n int, placement uint32) wire.Tombstone {
	return wire.Tombstone{InstanceKey: key(n), Generation: wire.Generation{Placement: placement, Move: ^uint32(0)}}
}

func (b *bed) remove(n int, placement uint32) {
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Removed: []wire.Tombstone{tombstone(n, placement)}}))
}

func (b *bed) says(w string, n int, g wire.Generation, state wire.State) Seen {
	return b.SeeInstances(w, wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{
		InstanceReport: wire.InstanceReport{InstanceKey: key(n), Generation: g, State: state}}}}, b.now)
}

// report returns what root is told of an instance.
func (b *bed) report(n int) (states []string) {
	for _, r := range b.Reports(b.now) {
		if r.InstanceKey == key(n) {
			states = append(states, fmt.Sprintf("%s %s", r.Generation, r.State))
		}
	}
	return states
}

// placed shows all copies as "number generation worker", tombstones with an x.
func (b *bed) placed() (all []string) {
	for _, c := range b.Copies() {
		s := fmt.Sprintf("%d %s %s", c.Number, c.Generation, c.Worker)
		if c.Stop {
			s += " x"
		}
		all = append(all, s)
	}
	return all
}

func g(placement, move uint32) wire.Generation {
	return wire.Generation{Placement: placement, Move: move}
}

func TestThreeInstancesSpreadAndStop(t *testing.T) {
	b := newBed(2)
	b.want(1, 0, 1, 2)
	require.Equal(t, []string{"1.0 CLUSTER_SCHEDULED"}, b.report(0))
	a := b.settle()
	require.Equal(t, []string{"0 1.1 w1", "1 1.1 w2", "2 1.1 w1"}, b.placed())
	require.Equal(t, Affected{Workers: []string{"w1", "w2"}, Services: []string{service}}, a)
	require.Equal(t, []string{"1.1 NODE_SCHEDULED"}, b.report(0))
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0))
	ch := b.Reconcile(b.now)
	require.True(t, ch.Empty(), "nothing is left to decide")

	b.remove(0, 1)
	require.Equal(t, []string{"0 1.1 w1 x", "1 1.1 w2", "2 1.1 w1"}, b.placed())
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0), "stopping")
	d := b.DesiredOf("w1")
	require.Len(t, d.Instances, 1)
	require.Equal(t, []wire.Tombstone{{InstanceKey: key(0), Generation: g(1, 1)}}, d.Tombstones)
	b.settle()
	require.True(t, b.says("w1", 0, g(1, 1), wire.StateUndeployed).Settled)
	b.settle()
	require.Equal(t, []string{"1 1.1 w2", "2 1.1 w1"}, b.placed())
	require.Equal(t, []string{"1.0 UNDEPLOYED"}, b.report(0))
	b.Apply(b.Acknowledge([]wire.InstanceReport{{InstanceKey: key(0), Generation: g(1, 0), State: wire.StateUndeployed}}))
	require.Empty(t, b.report(0))
}

func TestTombstoneOfWhatNoWorkerHad(t *testing.T) {
	b := newBed(1)
	b.remove(5, 3)
	b.settle()
	require.Equal(t, []string{"3.0 UNDEPLOYED"}, b.report(5))
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Full: true}))
	require.Empty(t, b.report(5), "root has forgotten it")
}

func TestUndeployedWithoutTombstoneIsOfThePast(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	require.False(t, b.says("w1", 0, g(1, 1), wire.StateUndeployed).Settled)
	require.Equal(t, []string{"1.1 NODE_SCHEDULED"}, b.report(0))
}

func TestNoPlaceIsExplainedAndTriedAgain(t *testing.T) {
	b := newBed(0)
	b.later(time.Minute)
	b.want(1, 0)
	b.settle()
	require.Equal(t, []string{"1.0 NO_QUALIFIED_WORKER_FOUND"}, b.report(0))
	b.PutWorker("w1", "one", nil, true)
	b.settle()
	require.Equal(t, []string{"1.0 NO_WORKER_CAPACITY"}, b.report(0))
	require.Contains(t, b.Reports(b.now)[0].Detail, "one: has not reported")
	b.alive("w1", 1, true)
	b.info("w1")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
}

func TestSilentWorkerTakesNothingNew(t *testing.T) {
	b := newBed(1)
	b.later(20 * time.Second)
	b.want(1, 0)
	b.settle()
	require.Equal(t, []string{"1.0 NO_WORKER_CAPACITY"}, b.report(0))
	b.info("w1")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
}

func TestLostWorkersInstancesMoveAndExactlyTheOlderStops(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.alive("w1", 1, false)
	b.later(59*time.Second, "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "not before its time")
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0))
	b.later(2*time.Second, "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 1.2 w2"}, b.placed())
	require.Equal(t, []string{"1.2 NODE_SCHEDULED"}, b.report(0))

	b.alive("w1", 2, true) // back before the replacement runs: both stay
	b.info("w1")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 1.2 w2"}, b.placed())
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.settle()
	require.Equal(t, []string{"0 1.2 w2"}, b.placed())
	require.Equal(t, []string{"1.2 RUNNING"}, b.report(0))
}

func TestOlderCopyIsNotStoppedWhileItsWorkerIsAway(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.later(2*time.Minute, "w2")
	b.settle()
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 1.2 w2"}, b.placed())
}

func TestGoneOfAnOlderSessionIsIgnored(t *testing.T) {
	b := newBed(1)
	b.alive("w1", 2, true)
	b.alive("w1", 1, false)
	status, _ := b.Status("w1", b.now)
	require.Equal(t, "ready", status)
	b.alive("w1", 2, false)
	b.alive("w1", 2, true) // its own gone has overtaken it
	status, _ = b.Status("w1", b.now)
	require.Equal(t, "unavailable", status)
}

func TestNothingStopsBecauseAListLacksIt(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Full: true}))
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	require.Len(t, b.DesiredOf("w1").Instances, 1)
	require.Equal(t, []string{"1.1 NODE_SCHEDULED"}, b.report(0))
}

func TestHigherPlacementReplacesOnTheSameWorkerAndLowerIsIgnored(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.want(2, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w1"}, b.placed())
	b.want(1, 0)
	b.remove(0, 1)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w1"}, b.placed(), "a tombstone of placement 1 leaves placement 2 alone")
}

func (b *bed) unclaimed(w string, n int, gen wire.Generation) Seen {
	s := spec(1)
	return b.SeeInstances(w, wire.Instances{Header: b.stamp(), Full: true, Instances: []wire.WorkerInstance{{
		InstanceReport: wire.InstanceReport{InstanceKey: key(n), Generation: gen, State: wire.StateRunning}, Unclaimed: true, Spec: &s}}}, b.now)
}

func TestLostRowsAreAdopted(t *testing.T) {
	b := newBed(2)
	b.workers["w2"].settled = false // as after a restart
	b.want(1, 0)
	b.settle()
	require.Empty(t, b.placed(), "not placed a second time before all workers have spoken")
	seen := b.unclaimed("w2", 0, g(1, 4))
	require.Len(t, seen.Unclaimed, 1)
	ch, held := b.Adopt("w2", seen.Unclaimed)
	require.Empty(t, held)
	b.Apply(ch)
	b.later(DefaultGrace, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.4 w2"}, b.placed())
	require.Equal(t, []string{"1.4 RUNNING"}, b.report(0))
	require.Equal(t, uint32(4), b.instances[key(0)].LastMove)
}

func TestUnknownInstanceIsKeptAndReported(t *testing.T) {
	b := newBed(1)
	ch, _ := b.Adopt("w1", b.unclaimed("w1", 7, g(3, 2)).Unclaimed)
	b.Apply(ch)
	require.Len(t, b.DesiredOf("w1").Instances, 1)
	require.Equal(t, []string{"3.2 RUNNING"}, b.report(7))
	require.False(t, b.instances[key(7)].Wanted)
	b.remove(7, 3) // only root's tombstone stops it
	require.Len(t, b.DesiredOf("w1").Tombstones, 1)
}

func TestUnclaimedOfARemovedInstanceStops(t *testing.T) {
	b := newBed(1)
	b.remove(0, 1)
	b.settle()
	ch, _ := b.Adopt("w1", b.unclaimed("w1", 0, g(1, 1)).Unclaimed)
	b.Apply(ch)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x"}, b.placed())
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0), "not done any more")
}

// TestOfOneGenerationGivenTwiceOneStops: databases restored one after the other have given the same generation to two workers.
func TestOfOneGenerationGivenTwiceOneStops(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	b.says("w1", 0, g(1, 1), wire.StateCreating)
	seen := b.unclaimed("w2", 0, g(1, 1))
	require.Empty(t, seen.Unclaimed)
	require.True(t, seen.Settled, "there is something to decide")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	require.Len(t, b.DesiredOf("w1").Instances, 1)
	require.Empty(t, b.DesiredOf("w1").Tombstones)
	require.Equal(t, []wire.Tombstone{{InstanceKey: key(0), Generation: g(1, 1)}}, b.DesiredOf("w2").Tombstones)
	b.says("w2", 0, g(1, 1), wire.StateUndeployed)
	require.Empty(t, b.DesiredOf("w2").Tombstones, "it is gone")
	require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "what the other runs is not meant")

	b.unclaimed("w2", 0, g(1, 1))
	b.settle()
	require.Len(t, b.DesiredOf("w2").Tombstones, 1)
	at := b.stamp().Stamp
	b.NoteDesired("w2", at)
	b.SeeInstances("w2", wire.Instances{Header: b.stamp(), Full: true, Applied: at}, b.now)
	require.Empty(t, b.DesiredOf("w2").Tombstones, "a full list lacks it")
}

// TestOfOneGenerationGivenTwiceWhatRunsGoesOn: of a restored database the worker that is written down need not run the copy that another does.
func TestOfOneGenerationGivenTwiceWhatRunsGoesOn(t *testing.T) {
	restored := func() *bed {
		b := newBed(2)
		b.want(1, 0)
		b.settle()
		b.find(key(0), g(1, 1)).before = true // as [Ledger.Load] has it
		b.workers["w1"].settled = false
		b.unclaimed("w2", 0, g(1, 1))
		b.settle()
		require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "what w1 runs is not known yet")
		require.Empty(t, b.DesiredOf("w2").Tombstones)
		return b
	}
	b := restored()
	b.workers["w1"].settled = true
	require.Equal(t, []string{"w1", "w2"}, b.settle().Workers)
	require.Equal(t, []string{"0 1.1 w2"}, b.placed())
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0))
	require.Empty(t, b.DesiredOf("w2").Tombstones)
	require.Empty(t, b.DesiredOf("w1").Instances)
	b.unclaimed("w1", 0, g(1, 1)) // it had begun with what it was told before
	b.settle()
	require.Len(t, b.DesiredOf("w1").Tombstones, 1)
	require.Equal(t, []string{"0 1.1 w2"}, b.placed())

	b = restored()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.workers["w1"].settled = true
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "it runs on both")
	require.Len(t, b.DesiredOf("w2").Tombstones, 1)
}

func TestNoWorkerTakesALiveInstanceOver(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	for _, claim := range []wire.Generation{g(1, 9), g(5, 1)} {
		ch, held := b.Adopt("w2", b.unclaimed("w2", 0, claim).Unclaimed)
		require.True(t, ch.Empty())
		require.Len(t, held, 1)
	}
}

func TestOneUndeployedSettlesAllLowerGenerationsOnThatWorker(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.want(2, 0)
	b.settle()
	b.remove(0, 2)
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w1 x"}, b.placed())
	b.says("w1", 0, g(2, 1), wire.StateUndeployed)
	b.settle()
	require.Empty(t, b.placed())
}

func TestFullListOfAWorkerThatHasNothingOfATombstone(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.remove(0, 1)
	b.NoteDesired("w1", wire.Stamp{Epoch: 2, Revision: 5})
	full := func(rev uint64) bool {
		return b.SeeInstances("w1", wire.Instances{Header: b.stamp(), Full: true, Applied: wire.Stamp{Epoch: 2, Revision: rev}}, b.now).Settled
	}
	require.False(t, full(4), "it has not seen the tombstone")
	require.True(t, full(5))
}

func TestRemovalDoesNotWaitForALostWorker(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.later(2 * time.Minute)
	b.remove(0, 1)
	b.settle()
	require.Equal(t, []string{"1.1 UNDEPLOYED"}, b.report(0))
	require.Len(t, b.DesiredOf("w1").Tombstones, 1, "its tombstone waits for it")
}

func TestAggregate(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	a := b.Aggregate(b.now)
	require.Len(t, a.Groups, 1)
	require.Equal(t, wire.AggregateGroup{Architecture: "amd64", Runtime: "container", Workers: 2,
		Capacity: wire.Slot{VCPUs: 8, MemoryMB: 2000, StorageMB: 2000}, Free: wire.Slot{VCPUs: 7, MemoryMB: 1900, StorageMB: 2000},
		Largest: wire.Slot{VCPUs: 4, MemoryMB: 1000, StorageMB: 1000},
		Slots:   []wire.Slot{{VCPUs: 4, MemoryMB: 1000, StorageMB: 1000}}}, a.Groups[0])
}
