// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// serving returns a bed in which instances 0 to 2 serve on w1 to w3, of a service that is called.
func serving() *bed {
	b := newBed(3)
	b.options.Drain = DefaultDrain
	b.called = map[string]bool{service: true}
	b.want(1, 0, 1, 2)
	b.settle()
	for n, w := range []string{"w1", "w2", "w3"} {
		b.says(w, n, g(1, 1), wire.StateRunning)
	}
	return b
}

// stops lists the copies that have a tombstone, drains those that get no new flows before.
func (b *bed) stops() (stop, drains []int) {
	for _, c := range b.Copies() {
		switch {
		case c.Stop:
			stop = append(stop, c.Number)
		case b.Draining(&c):
			drains = append(drains, c.Number)
		}
	}
	return stop, drains
}

func TestOneOfManyGetsNoNewFlowsBeforeItStops(t *testing.T) {
	b := serving()
	affected := b.Apply(b.TakeDesired(&wire.ClusterDesired{Removed: []wire.Tombstone{tombstone(0, 1)}}))
	require.Contains(t, affected.Services, service, "its routes are told anew")
	b.settle()
	stop, drains := b.stops()
	require.Empty(t, stop)
	require.Equal(t, []int{0}, drains)
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0))
	b.later(DefaultDrain-time.Second, "w1", "w2", "w3")
	b.remove(0, 1) // root says it again
	b.settle()
	stop, _ = b.stops()
	require.Empty(t, stop)
	b.later(time.Second, "w1", "w2", "w3")
	b.settle()
	stop, drains = b.stops()
	require.Equal(t, []int{0}, stop)
	require.Empty(t, drains)
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.settle()
	require.Equal(t, []string{"1.0 UNDEPLOYED"}, b.report(0))
}

func TestWhatNobodyElseServesStopsAtOnce(t *testing.T) {
	for name, removed := range map[string]func(b *bed) []int{
		"all of it": func(b *bed) []int {
			b.Apply(b.TakeDesired(&wire.ClusterDesired{Removed: []wire.Tombstone{tombstone(0, 1), tombstone(1, 1), tombstone(2, 1)}}))
			return []int{0, 1, 2}
		},
		"one after the other": func(b *bed) []int {
			b.remove(0, 1)
			b.remove(1, 1)
			b.remove(2, 1) // the last that serves
			return []int{2}
		},
		"nobody calls it": func(b *bed) []int {
			b.called = nil
			b.remove(0, 1)
			return []int{0}
		},
		"it does not serve": func(b *bed) []int {
			b.says("w1", 0, g(1, 1), wire.StateFailed)
			b.remove(0, 1)
			return []int{0}
		},
		"the others do not": func(b *bed) []int {
			b.says("w2", 1, g(1, 1), wire.StateFailed)
			b.says("w3", 2, g(1, 1), wire.StateFailed)
			b.remove(0, 1)
			return []int{0}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := serving()
			want := removed(b)
			stop, _ := b.stops()
			require.Equal(t, want, stop)
		})
	}
}

// A cluster orchestrator that starts again, and a root that does not repeat what it has said, leave nothing running.
func TestARemovalIsCarriedOutWhateverHappensMeanwhile(t *testing.T) {
	b := serving()
	b.remove(0, 1)
	next := newBed(3)
	next.options.Drain = DefaultDrain
	next.Load(nil, b.Copies(), []Removal{{InstanceKey: key(0), Placement: 1}})
	next.settle()
	stop, _ := next.stops()
	require.Equal(t, []int{0}, stop)

	b.Apply(b.TakeDesired(&wire.ClusterDesired{Full: true}))
	stop, _ = b.stops()
	require.Equal(t, []int{0}, stop)
}
