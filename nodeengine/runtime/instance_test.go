// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"pgregory.net/rapid"
)

func TestIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := wire.InstanceKey{ServiceID: rapid.StringMatching(`[0-9a-f]{24}`).Draw(t, "service"), Number: rapid.IntRange(0, 1<<20).Draw(t, "number")}
		gen := wire.Generation{Placement: rapid.Uint32().Draw(t, "placement"), Move: rapid.Uint32().Draw(t, "move")}
		k, g, err := ParseID(ID(key, gen))
		if err != nil || k != key || g != gen {
			t.Fatalf("%v %v %v", k, g, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "a.0.1-1", "a.0.1", "a.-1.1-1", "a.0.4294967296-1", "a.00.1-1", "..-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, g, err := ParseID(s)
		if err == nil && ID(k, g) != s {
			t.Fatalf("%q was read as %v %v", s, k, g)
		}
	})
}
