// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// maxNumber bounds instance numbers: a service has at most 1,024 instances, numbers are used again.
const maxNumber = 1 << 20

// Apply takes a desired state over: stored first, acted on second. One that is not newer than the last is ignored. An error
// means that nothing changed.
func (a *Agent) Apply(d wire.Desired) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("apply desired state %s: %w", d.Stamp, err)
	}
	if err := validate(d); err != nil {
		return fmt.Errorf("apply desired state %s: %w", d.Stamp, err)
	}
	a.mu.Lock()
	a.heard = time.Now()
	a.mu.Unlock()
	a.applying.Lock()
	defer a.applying.Unlock()
	old := a.Applied()
	if !d.After(old) {
		return nil
	}
	if err := statefile.Write(a.desiredPath(), d); err != nil {
		return fmt.Errorf("apply desired state %s: %w", d.Stamp, err)
	}
	a.opts.Log.Info("desired state", "stamp", d.String(), "instances", len(d.Instances), "tombstones", len(d.Tombstones))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(d)
	a.full = a.full || d.Epoch > old.Epoch
	if a.ctx == nil || a.ctx.Err() != nil {
		return nil // Run starts the actors, or has ended them
	}
	for key := range a.desired {
		a.ensureActor(key)
	}
	for key := range a.tombs {
		a.ensureActor(key)
	}
	for key, c := range a.actors {
		c.nudge()
		if a.unclaimed(c) != c.rows.unclaimed {
			a.changed[key] = struct{}{}
		}
	}
	a.signal()
	return nil
}

// Applied returns the stamp of the stored desired state.
func (a *Agent) Applied() wire.Stamp {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applied
}

// remember indexes d; of several entries for an instance the highest generation counts. The lock is held, or not needed yet.
func (a *Agent) remember(d wire.Desired) {
	a.applied, a.lostAfter = d.Stamp, defaultLostAfter
	if d.LostAfterSeconds > 0 {
		a.lostAfter = time.Duration(d.LostAfterSeconds) * time.Second
	}
	a.desired = make(map[wire.InstanceKey]wire.DesiredInstance, len(d.Instances))
	a.tombs = make(map[wire.InstanceKey]wire.Generation, len(d.Tombstones))
	for _, i := range d.Instances {
		if have, ok := a.desired[i.InstanceKey]; !ok || i.Generation.Compare(have.Generation) > 0 {
			a.desired[i.InstanceKey] = i
		}
	}
	for _, t := range d.Tombstones {
		if have, ok := a.tombs[t.InstanceKey]; !ok || t.Generation.Compare(have) > 0 {
			a.tombs[t.InstanceKey] = t.Generation
		}
	}
}

// validate refuses what cannot come from a cluster orchestrator: ids become names of files and containers.
func validate(d wire.Desired) error {
	check := func(path string, k wire.InstanceKey) error {
		if !pki.ValidID(k.ServiceID) {
			return fmt.Errorf("%s.service_id %q is not %d lower-case hexadecimal digits", path, k.ServiceID, pki.IDLength)
		}
		if k.Number < 0 || k.Number > maxNumber {
			return fmt.Errorf("%s.instance_number %d is not from 0 to %d", path, k.Number, maxNumber)
		}
		return nil
	}
	for n, i := range d.Instances {
		if err := check(fmt.Sprintf("instances[%d]", n), i.InstanceKey); err != nil {
			return err
		}
	}
	for n, t := range d.Tombstones {
		if err := check(fmt.Sprintf("tombstones[%d]", n), t.InstanceKey); err != nil {
			return err
		}
	}
	return nil
}

// goal is what is wanted of one instance.
type goal struct {
	// want is nil if no copy is to be started.
	want *runtime.Instance
	// tomb is nil if nothing is to be stopped.
	tomb *wire.Generation
	// rest says that nothing is to run for the time being.
	rest bool
}

// stops reports whether generation g has to stop.
func (g goal) stops(gen wire.Generation) bool { return g.tomb != nil && gen.Compare(*g.tomb) <= 0 }

// goalOf returns the goal of an instance; a tombstone outranks a wish for the same generation.
func (a *Agent) goalOf(key wire.InstanceKey) goal {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := goal{rest: a.resting}
	if t, ok := a.tombs[key]; ok {
		g.tomb = &t
	}
	if d, ok := a.desired[key]; ok && !g.stops(d.Generation) {
		g.want = &runtime.Instance{InstanceKey: key, Generation: d.Generation, Spec: d.Spec}
	}
	return g
}
