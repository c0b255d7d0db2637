// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// wantPort wants instances that each expose 8080/tcp.
func (b *bed) wantPort(placement uint32, numbers ...int) {
	d := &wire.ClusterDesired{}
	for _, n := range numbers {
		s := spec(1)
		s.Ports = []wire.Port{{Host: 8080, Container: 80, Protocol: wire.ProtocolTCP}}
		d.Changed = append(d.Changed, wire.ClusterInstance{InstanceKey: key(n), Placement: placement, Spec: s})
	}
	b.Apply(b.TakeDesired(d))
}

// cannot has a worker say that it cannot take an instance.
func (b *bed) cannot(w string, n int, g wire.Generation, elsewhere bool) Seen {
	return b.SeeInstances(w, wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{Elsewhere: elsewhere,
		InstanceReport: wire.InstanceReport{InstanceKey: key(n), Generation: g, State: wire.StateCreating, Detail: "8080/tcp is in use"}}}}, b.now)
}

func TestHostPortIsGivenOnceAWorker(t *testing.T) {
	b := newBed(2)
	b.wantPort(1, 0, 1, 2)
	b.later(DefaultGrace, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "1 1.1 w2"}, b.placed())
	require.Equal(t, []string{"1.0 NO_WORKER_CAPACITY"}, b.report(2))
	require.Contains(t, b.Reports(b.now)[2].Detail, "w1: host port 8080/tcp is taken there by another instance")

	b.remove(1, 1)
	b.settle()
	require.Equal(t, []string{"1.0 NO_WORKER_CAPACITY"}, b.report(2), "the worker has not said yet that the port is free")
	b.says("w2", 1, g(1, 1), wire.StateUndeployed)
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "2 1.1 w2"}, b.placed())
}

func TestPortsOfAWorkersProcessesAreLeftAlone(t *testing.T) {
	b := newBed(2)
	b.SeeInformation("w1", wire.Information{Header: b.stamp(), Architecture: "amd64", Runtimes: []string{"container"}, Overlay: true,
		Capacity: wire.Slot{VCPUs: 4, MemoryMB: 1000, StorageMB: 1000}, UsedPorts: wire.HostPorts{TCP: []uint16{9090, 8080, 22, 22}}}, b.now)
	b.wantPort(1, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w2"}, b.placed())
}

func TestWorkerThatCannotTakeAnInstanceIsNotTheLast(t *testing.T) {
	b := newBed(2)
	b.later(DefaultGrace, "w1", "w2")
	b.wantPort(1, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	require.True(t, b.cannot("w1", 0, g(1, 1), true).Settled)
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.cannot("w2", 0, g(1, 2), true)
	b.settle()
	require.Equal(t, []string{"0 1.2 w2"}, b.placed(), "w1 is not asked again at once, w2 tries on")
	require.Equal(t, []string{"1.2 NO_WORKER_CAPACITY"}, b.report(0))
	require.Contains(t, b.Reports(b.now)[0].Detail, "w2: 8080/tcp is in use")

	b.cannot("w2", 0, g(1, 2), false)
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.Equal(t, []string{"1.2 RUNNING"}, b.report(0))
	require.Equal(t, []string{"0 1.2 w2"}, b.placed())
}

func TestWorkerThatRefusedIsAskedAgainInTime(t *testing.T) {
	b := newBed(2)
	b.wantPort(1, 0)
	b.settle()
	b.cannot("w1", 0, g(1, 1), true)
	b.settle()
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.cannot("w2", 0, g(1, 2), true)
	b.later(refusalHolds-2*time.Second, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.2 w2"}, b.placed())
	b.cannot("w2", 0, g(1, 2), true)
	b.later(4*time.Second, "w1", "w2")
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.2 w2 x", "0 1.3 w1"}, b.placed())
}
