// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Whatever root, workers and time do, in whatever order: no worker is given more than it has, no generation is given twice,
// and a copy gets a tombstone only if root removed it or a higher generation exists.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(3)
		removed := map[int]uint32{}
		placement := uint32(1)
		session := uint64(1)
		seen := map[string]string{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(0, 8).Draw(t, "number")
			w := fmt.Sprint("w", rapid.IntRange(1, 3).Draw(t, "worker"))
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				if placement > removed[n] { // what root has removed it never gives again
					b.want(placement, n)
				}
			case 1:
				placement++
				b.want(placement, n)
			case 2:
				b.remove(n, placement)
				removed[n] = placement
			case 3:
				for _, c := range b.copies[key(n)] {
					state := rapid.SampledFrom([]wire.State{wire.StateRunning, wire.StateFailed, wire.StateUndeployed}).Draw(t, "state")
					b.says(c.Worker, n, c.Generation, state)
				}
			case 4:
				session++
				b.alive(w, session, rapid.Bool().Draw(t, "present"))
				b.info(w)
			case 5:
				b.later(time.Duration(rapid.IntRange(1, 70).Draw(t, "seconds"))*time.Second, w)
			case 6:
				b.Apply(b.TakeDesired(&wire.ClusterDesired{Full: rapid.Bool().Draw(t, "full")}))
			}
			b.settle()
			b.checkIndex(t)
			pool := b.pool(b.now)
			for _, id := range pool.IDs() {
				if c, _ := pool.Candidate(id); scheduler.Overdrawn(c.Free) {
					t.Fatalf("%s is overbooked: %+v", c.ID, c.Free)
				}
			}
			for _, c := range b.Copies() {
				id := fmt.Sprint(c.InstanceKey, c.Generation)
				if was, ok := seen[id]; ok && was != c.Worker {
					t.Fatalf("%s was given to %s and to %s", id, was, c.Worker)
				}
				seen[id] = c.Worker
				list := b.copies[c.InstanceKey]
				if c.Stop && c.Generation.Placement > removed[c.Number] && c.Generation.Compare(list[len(list)-1].Generation) >= 0 {
					t.Fatalf("%s is stopped although root did not remove it and nothing replaces it: %v", id, b.placed())
				}
			}
		}
	})
}
