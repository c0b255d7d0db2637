// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// box holds a worker's containers, which are numbers. All of its methods want the worker's lock held.
type box struct {
	applied, told wire.Stamp
	desired       map[wire.InstanceKey]wire.DesiredInstance
	tombs         map[wire.InstanceKey]wire.Generation
	containers    map[wire.InstanceKey]*container
	// gone are tombstones that were obeyed.
	gone    map[wire.InstanceKey]wire.Generation
	changed map[wire.InstanceKey]struct{}
	full    bool
	stopped bool
}

// container is one that there is, or would be.
type container struct {
	wire.DesiredInstance
	state    wire.State
	detail   string
	since    time.Time
	restarts int
	endpoint *wire.NetEndpoint // nil while it has no address
	step     *time.Timer
}

func newBox() box {
	return box{desired: map[wire.InstanceKey]wire.DesiredInstance{}, tombs: map[wire.InstanceKey]wire.Generation{},
		containers: map[wire.InstanceKey]*container{}, gone: map[wire.InstanceKey]wire.Generation{}, changed: map[wire.InstanceKey]struct{}{}}
}

func (b *box) running() (n int) {
	for _, c := range b.containers {
		if c.state == wire.StateRunning {
			n++
		}
	}
	return n
}

// stop ends all that would still happen.
func (b *box) stop() {
	b.stopped = true
	for _, c := range b.containers {
		if c.step != nil {
			c.step.Stop()
		}
	}
}

// report returns what is to be told, and whether there is anything.
func (b *box) report() (m wire.Instances, due bool) {
	m = wire.Instances{Full: b.full, Applied: b.applied, Instances: []wire.WorkerInstance{}}
	if !b.full && len(b.changed) == 0 && b.applied == b.told {
		return m, false
	}
	if b.full {
		for key := range b.gone {
			m.Instances = b.rows(m.Instances, key)
		}
		for key := range b.containers {
			if _, ok := b.gone[key]; !ok {
				m.Instances = b.rows(m.Instances, key)
			}
		}
	} else {
		for key := range b.changed {
			m.Instances = b.rows(m.Instances, key)
		}
	}
	b.full, b.told = false, b.applied
	clear(b.changed)
	return m, true
}

func (b *box) rows(list []wire.WorkerInstance, key wire.InstanceKey) []wire.WorkerInstance {
	if g, ok := b.gone[key]; ok {
		list = append(list, wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: key, Generation: g,
			State: wire.StateUndeployed, Since: time.Now()}})
	}
	c := b.containers[key]
	if c == nil {
		return list
	}
	wi := wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: key, Generation: c.Generation, State: c.state, Detail: c.detail,
		Since: c.since, Restarts: c.restarts}}
	if c.state == wire.StateRunning {
		wi.CPUPercent, wi.MemoryBytes = 1, 8<<20
	}
	d, wanted := b.desired[key]
	t, stopped := b.tombs[key]
	claimed := wanted && d.Generation == c.Generation || stopped && c.Generation.Compare(t) <= 0
	if !claimed {
		spec := c.Spec
		wi.Unclaimed, wi.Spec = true, &spec
	}
	return append(list, wi)
}

func (c *container) enter(s wire.State, detail string) {
	c.state, c.detail, c.since = s, detail, time.Now()
}
