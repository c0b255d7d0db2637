// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// revise has root want a higher placement of instances, with another specification.
func (b *bed) revise(placement uint32, cpus, revision int, numbers ...int) {
	d := &wire.ClusterDesired{}
	for _, n := range numbers {
		s := spec(cpus)
		s.Revision = revision
		d.Changed = append(d.Changed, wire.ClusterInstance{InstanceKey: key(n), Placement: placement, Spec: s})
	}
	b.Apply(b.TakeDesired(d))
}

// draining says whether instance n's copy of that generation gets no new flows.
func (b *bed) draining(n int, generation wire.Generation) bool {
	c := b.find(key(n), generation)
	return b.Draining(c)
}

func TestReplacedWhereItIs(t *testing.T) {
	b := newBed(2)
	b.options.Drain = DefaultDrain
	b.want(1, 0, 1)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.says("w2", 1, g(1, 1), wire.StateRunning)

	// Its worker has no room for both: what the older holds is free for the newer. First it gets no new flows for a while.
	b.revise(2, 4, 2, 0)
	affected := b.settle()
	require.Equal(t, []string{service}, affected.Services, "routes are told")
	require.True(t, b.draining(0, g(1, 1)))
	require.False(t, b.draining(1, g(1, 1)))
	require.Equal(t, []string{"0 1.1 w1", "1 1.1 w2"}, b.placed())
	require.Equal(t, []string{"2.0 CLUSTER_SCHEDULED"}, b.report(0))
	b.later(DefaultDrain-time.Second, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "1 1.1 w2"}, b.placed())
	b.later(time.Second, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w1", "1 1.1 w2"}, b.placed())
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.says("w1", 0, g(2, 1), wire.StateRunning)
	b.settle()
	require.Equal(t, []string{"0 2.1 w1", "1 1.1 w2"}, b.placed())
	require.Equal(t, []string{"2.1 RUNNING"}, b.report(0))

	// What fits nowhere leaves the older as it is, with its flows.
	b.revise(3, 5, 3, 0)
	b.settle()
	require.Equal(t, []string{"3.0 NO_WORKER_CAPACITY"}, b.report(0))
	require.False(t, b.draining(0, g(2, 1)))
	require.Equal(t, []string{"0 2.1 w1", "1 1.1 w2"}, b.placed())
}

func TestWhatServesAloneIsReplacedBesideIt(t *testing.T) {
	b := newBed(2)
	b.options.Drain = DefaultDrain
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.revise(2, 1, 2, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 2.1 w2"}, b.placed(), "at once, and the older runs on")
	ready := false
	for range 2 { // running alone is not enough
		b.SeeInstances("w2", wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{
			InstanceReport: wire.InstanceReport{InstanceKey: key(0), Generation: g(2, 1), State: wire.StateRunning, Ready: &ready}}}}, b.now)
		b.settle()
		if !ready {
			require.Equal(t, []string{"0 1.1 w1", "0 2.1 w2"}, b.placed())
		}
		ready = true
	}
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w2"}, b.placed())

	// With one worker there is no choice, and nothing is won by waiting.
	c := newBed(1)
	c.options.Drain = DefaultDrain
	c.want(1, 0)
	c.settle()
	c.says("w1", 0, g(1, 1), wire.StateRunning)
	c.revise(2, 1, 2, 0)
	c.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 2.1 w1"}, c.placed())
}
