// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// The verdict on an instance stays while its worker, which has been restarted, has not asked it again; another life of it has none.
func TestReadinessStaysUntilItIsAskedAgain(t *testing.T) {
	b := newBed(1)
	in := spec(1)
	in.Readiness = &wire.Probe{TCP: &wire.TCPProbe{Port: 80}}
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Changed: []wire.ClusterInstance{{InstanceKey: key(0), Placement: 1, Spec: in}}}))
	b.settle()
	say := func(state wire.State, ready *bool) *bool {
		b.SeeInstances("w1", wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{
			InstanceReport: wire.InstanceReport{InstanceKey: key(0), Generation: g(1, 1), State: state, Ready: ready}}}}, b.now)
		c, ok := b.Copy(CopyID{key(0), g(1, 1)})
		require.True(t, ok)
		return c.Report.Ready
	}
	yes, no := true, false
	require.Nil(t, say(wire.StateRunning, nil))
	require.Equal(t, &no, say(wire.StateRunning, &no))
	require.Equal(t, &no, say(wire.StateRunning, nil))
	require.Equal(t, &yes, say(wire.StateRunning, &yes))
	require.Equal(t, &yes, say(wire.StateRunning, nil))
	require.Nil(t, say(wire.StateCreating, nil))
	require.Nil(t, say(wire.StateRunning, nil))
}
