// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// indices hands out peer indices, going round so that a freed one rests as long as possible: conntrack may still hold it.
type indices struct {
	used map[uint32]bool
	next uint32
}

func (x *indices) take() (uint32, error) {
	for range bpf.MaxPeers {
		i := x.next
		x.next++
		if x.next >= bpf.MaxPeers {
			x.next = 1 // 0 is this worker itself
		}
		if i != 0 && !x.used[i] {
			x.used[i] = true
			return i, nil
		}
	}
	return 0, fmt.Errorf("all %d peer indices are taken", bpf.MaxPeers-1)
}

// claim marks an index found in the map as taken.
func (x *indices) claim(i uint32) {
	x.used[i] = true
	if i >= x.next {
		x.next = i + 1
	}
}
