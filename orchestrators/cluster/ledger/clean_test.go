// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestWhatAWorkerSaysIsCutDownToSize(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	say := func(r wire.InstanceReport) Seen {
		return b.SeeInstances("w1", wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{InstanceReport: r}}}, b.now)
	}
	require.Equal(t, 1, say(wire.InstanceReport{InstanceKey: key(0), Generation: g(1, 1), State: "TAKEN OVER"}).Refused)
	require.Equal(t, 1, say(wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: "x"}, Generation: g(1, 1), State: wire.StateRunning}).Refused)
	require.Equal(t, 1, say(wire.InstanceReport{InstanceKey: key(-1), State: wire.StateRunning}).Refused)
	say(wire.InstanceReport{InstanceKey: key(0), Generation: g(1, 1), State: wire.StateFailed, Detail: strings.Repeat("ä", 5000)})
	require.Less(t, len(b.Reports(b.now)[0].Detail), 1100)
	require.True(t, utf8.ValidString(b.Reports(b.now)[0].Detail))
	b.SeeInformation("w1", wire.Information{Header: b.stamp(), Runtimes: make([]string, 100), Overlay: true, Capacity: wire.Slot{VCPUs: -1}}, b.now)
	require.Empty(t, b.Aggregate(b.now).Groups)
}

// Whatever bytes a worker sends, nothing panics and nothing is overbooked.
func FuzzWorkerMessages(f *testing.F) {
	f.Add([]byte(`{"instances":[{"service_id":"5e5e5e5e5e5e5e5e5e5e5e5e","instance_number":0,"generation":{"placement":1,"move":1},"state":"RUNNING"}]}`))
	f.Add([]byte(`{"capacity":{"vcpus":-1},"session":3,"present":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBed(2)
		b.want(1, 0, 1)
		b.settle()
		var info wire.Information
		var instances wire.Instances
		var alive wire.Alive
		if json.Unmarshal(data, &info) == nil {
			b.SeeInformation("w1", info, b.now)
		}
		if json.Unmarshal(data, &instances) == nil {
			ch, _ := b.Adopt("w1", b.SeeInstances("w1", instances, b.now).Unclaimed)
			b.Apply(ch)
		}
		if json.Unmarshal(data, &alive) == nil {
			b.SeeEngine("w1", alive, b.now)
			b.SeeNet("w1", alive)
		}
		b.settle()
		b.Reports(b.now)
		b.Aggregate(b.now)
		if b.DesiredOf("w1").Instances == nil {
			t.Fatal("a full list is never null")
		}
	})
}
