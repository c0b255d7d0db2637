// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"hash/maphash"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Instance is an instance that root has given to this cluster.
type Instance struct {
	wire.InstanceKey
	// Placement is root's; copies of a lower one are leftovers.
	Placement uint32
	Spec      wire.InstanceSpec
	// Wanted is false for an instance that runs here although root's desired state lacks it: it runs on, but is placed nowhere
	// anew until root says something.
	Wanted bool
	// LastMove is the highest move given out under this placement.
	LastMove uint32
	// Refusals are the workers that could not take it, by id; see [Ledger.Complete].
	Refusals map[string]Refusal

	// status is what the scheduler says while no copy can speak for the instance. It is not stored.
	status wire.InstanceReport
	// draining is since when the copy of an older placement gets no new flows; zero unless it is to be replaced. It is not stored.
	draining time.Time
	// scheduling says why it is where it is, or has no place; nil if that was decided in an earlier life. It is not stored here.
	scheduling *wire.Explanation
	// missedSince is since when it is too far from what it has to be near to; zero if it is not. It is not stored.
	missedSince time.Time
}

// Copy is one generation of an instance on one worker. Its existence is the reservation of what it needs.
type Copy struct {
	wire.InstanceKey
	Generation wire.Generation
	Worker     string
	Spec       wire.InstanceSpec
	// Stop is the tombstone.
	Stop bool
	// Report is what the worker last said of it.
	Report wire.InstanceReport

	// elsewhere is set while the worker says that it cannot take the copy: another worker is looked for. It is not stored; every
	// worker says it again when it connects.
	elsewhere bool
	// entered is when this process saw the copy enter its state; zero if it was in it before.
	entered time.Time
	// before is set while all that is known of the copy is from an earlier life: its worker has not said since that it runs, or has ended.
	before bool
	// gone is set once the worker has nothing of it any more. Only a copy with a tombstone goes.
	gone bool
}

// Removal is a tombstone of root's: every copy up to its placement has to stop.
type Removal struct {
	wire.InstanceKey
	Placement uint32
	// Done is true once nothing of it is left; root is told UNDEPLOYED until it acknowledges.
	Done bool

	// until is when its copies stop, which get no new flows until then; zero for at once. It is not stored: they stop when the cluster
	// orchestrator starts again.
	until time.Time
}

// Ledger is the whole of it.
type Ledger struct {
	instances map[wire.InstanceKey]*Instance
	copies    map[wire.InstanceKey][]*Copy // by rising generation
	removals  map[wire.InstanceKey]*Removal
	workers   map[string]*Worker
	index     index

	// doubles are the copies that workers run of generations that other workers were given, by worker.
	doubles map[string]map[CopyID]double

	// measured are the round trips that workers say they have measured, by worker and peer; roundTrips are the same by peer and worker.
	measured, roundTrips map[string]map[string]float64
	// offers are what workers had to offer when they were summed up last; gains counts how often that was more than before.
	offers map[string]offer
	gains  uint64
	// lookedAt is when it was last looked at whether instances are near enough.
	lookedAt time.Time
	seed     maphash.Seed

	options Options
}

// Options are the times by which a cluster judges its workers.
type Options struct {
	// Start is when this process began; a worker that was never heard of counts as heard of then.
	Start time.Time
	// Grace is how long after Start an instance that finds no place merely waits for workers to report in.
	Grace time.Duration
	// Silent is how long a worker may say nothing before it takes nothing new: three intervals of its information.
	Silent time.Duration
	// LostAfter is how long a worker has to be gone before its instances are given to others.
	LostAfter time.Duration
	// Drain is how long a copy gets no new flows before it is stopped for its successor, or although others of its service go on; 0 for not
	// at all.
	Drain time.Duration
	// Strategy orders the workers that can take an instance; spread if empty.
	Strategy scheduler.Strategy
	// Where is the cluster's place, which is that of its workers that tell none.
	Where wire.Point
}

// Times by which workers are judged unless configured.
const (
	DefaultGrace     = 10 * time.Second
	DefaultSilent    = 6 * time.Second
	DefaultLostAfter = 60 * time.Second
)

// New returns an empty ledger.
func New(o Options) *Ledger {
	return &Ledger{
		instances: map[wire.InstanceKey]*Instance{}, copies: map[wire.InstanceKey][]*Copy{},
		removals: map[wire.InstanceKey]*Removal{}, workers: map[string]*Worker{}, index: newIndex(),
		doubles:  map[string]map[CopyID]double{},
		measured: map[string]map[string]float64{}, roundTrips: map[string]map[string]float64{},
		// So that a count of this life is none of an earlier one.
		seed: maphash.MakeSeed(), gains: uint64(max(o.Start.UnixMilli(), 0)), options: o, //nolint:gosec // it is not negative
	}
}

// current returns the highest copy without a tombstone, or nil.
func (l *Ledger) current(key wire.InstanceKey) *Copy {
	copies := l.copies[key]
	for i := len(copies) - 1; i >= 0; i-- {
		if !copies[i].Stop {
			return copies[i]
		}
	}
	return nil
}

// find returns the copy of exactly that generation, or nil.
func (l *Ledger) find(key wire.InstanceKey, g wire.Generation) *Copy {
	for _, c := range l.copies[key] {
		if c.Generation == g {
			return c
		}
	}
	return nil
}
