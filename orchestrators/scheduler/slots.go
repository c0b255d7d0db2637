// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// AddSlot adds a worker's free slot to those of a group, of which none is within another. Of more than [wire.MaxSlots] the last two become
// one that covers both: what then seems to fit may fit nowhere, never the reverse.
func AddSlot(slots []wire.Slot, free wire.Slot) []wire.Slot {
	for _, s := range slots {
		if Max(s, free) == s {
			return slots
		}
	}
	slots = append(slices.DeleteFunc(slots, func(s wire.Slot) bool { return Max(s, free) == free }), free)
	if n := len(slots); n > wire.MaxSlots {
		joined := Max(slots[n-2], slots[n-1])
		return AddSlot(slots[:n-2], joined)
	}
	return slots
}
