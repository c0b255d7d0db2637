// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Agent brings a worker's instances to what is desired.
type Agent struct {
	opts Options
	// slots bounds how many containers are created at a time: each costs a processor for some 100 ms.
	slots chan struct{}

	// applying serialises Apply, which writes to disk.
	applying sync.Mutex

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	wg      sync.WaitGroup
	applied wire.Stamp
	desired map[wire.InstanceKey]wire.DesiredInstance
	tombs   map[wire.InstanceKey]wire.Generation
	actors  map[wire.InstanceKey]*actor

	changed map[wire.InstanceKey]struct{}
	full    bool
	notify  chan struct{}
	samples map[string]sample
	// sweepDue says that NetManager became ready before Run had adopted what runs.
	sweepDue bool
	// resting says that all instances are stopped since the cluster is away; heard is when it last said what it wants, lostAfter how long
	// it may be away.
	resting   bool
	heard     time.Time
	lostAfter time.Duration
	// astray counts states that followed another one that they cannot follow.
	astray atomic.Int64
}

// New returns an agent that knows the desired state in its state folder. Run does the work.
func New(o Options) (*Agent, error) {
	o.setDefaults()
	a := &Agent{
		opts:    o,
		slots:   make(chan struct{}, max(2, goruntime.NumCPU())),
		actors:  map[wire.InstanceKey]*actor{},
		changed: map[wire.InstanceKey]struct{}{},
		full:    true,
		notify:  make(chan struct{}, 1),
		samples: map[string]sample{},
	}
	var d wire.Desired
	err := statefile.Read(a.desiredPath(), &d)
	if err == nil {
		err = d.Check()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load desired state: %w", err)
	}
	a.remember(d)
	return a, a.loadResting()
}

func (a *Agent) desiredPath() string { return filepath.Join(a.opts.StateDir, "desired.json") }

// Run adopts what runs and works until ctx ends; workloads then run on. Nothing is started before all runtimes have told what
// they have, for which it asks again and again.
func (a *Agent) Run(ctx context.Context) error {
	copies, ok := a.awaitCopies(ctx)
	if !ok {
		return nil
	}
	a.sweepRuntimes(ctx) // before anything is created
	a.mu.Lock()
	a.ctx = ctx
	for key, found := range copies {
		a.opts.Log.Info("adopting", "instance", key.String(), "copies", len(found), "phase", found[0].Phase)
		a.startActor(key, found)
	}
	for key := range a.desired {
		a.ensureActor(key)
	}
	for key := range a.tombs {
		a.ensureActor(key)
	}
	sweep := a.sweepDue
	a.signal() // what was found is reported, and that it is all
	a.mu.Unlock()
	a.sweepNamespaces(copies)
	if sweep {
		a.sweepEndpoints(ctx)
	}
	if a.opts.CutOff.Stop {
		a.wg.Go(func() { a.watchContact(ctx) })
	}
	<-ctx.Done()
	a.wg.Wait()
	return nil
}

// awaitCopies returns what all runtimes have, once they can tell; false if ctx ends before.
func (a *Agent) awaitCopies(ctx context.Context) (map[wire.InstanceKey][]runtime.Copy, bool) {
	for fails := 1; ; fails++ {
		asking, cancel := context.WithTimeout(ctx, listTimeout)
		copies, err := a.copies(asking)
		cancel()
		if err == nil {
			return copies, true
		}
		pause := a.opts.backOff(fails)
		if ctx.Err() == nil {
			a.opts.Log.Warn("it is not known yet what runs here: nothing is started meanwhile", "error", err, "retry_in", pause)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(pause):
		}
	}
}

// copies returns what all runtimes have, the highest generation of each instance first.
func (a *Agent) copies(ctx context.Context) (map[wire.InstanceKey][]runtime.Copy, error) {
	all := map[wire.InstanceKey][]runtime.Copy{}
	for name, rt := range a.opts.Runtimes {
		list, err := rt.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("adopt instances of runtime %s: %w", name, err)
		}
		for _, c := range list {
			all[c.InstanceKey] = append(all[c.InstanceKey], c)
		}
	}
	for _, l := range all {
		slices.SortFunc(l, func(x, y runtime.Copy) int { return y.Generation.Compare(x.Generation) })
	}
	return all, nil
}

// ensureActor starts an actor for key if there is none. The lock is held and Run has begun.
func (a *Agent) ensureActor(key wire.InstanceKey) *actor {
	if c, ok := a.actors[key]; ok {
		return c
	}
	return a.startActor(key, nil)
}

func (a *Agent) startActor(key wire.InstanceKey, found []runtime.Copy) *actor {
	c := newActor(a, key, found)
	a.actors[key] = c
	a.wg.Go(func() { c.run(a.ctx) })
	return c
}
