// SPDX-License-Identifier: Apache-2.0

package usage_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf/usage"
)

func TestUsage(t *testing.T) {
	cpus, err := ebpf.PossibleCPU()
	require.NoError(t, err)
	for _, c := range []struct {
		kind  ebpf.MapType
		size  uint32
		value int // bytes
		max   uint32
		put   uint32
		flags uint32
		want  int
	}{
		{ebpf.Hash, 4, 24, 10000, 9000, 1, 9000},
		{ebpf.Hash, 4, 1, 10, 0, 0, 0},
		{ebpf.LRUHash, 4, 8, 10000, 100, 0, 100},
		{ebpf.Array, 4, 100, 10000, 5000, 0, 4999}, // the first is zero
		{ebpf.PerCPUArray, 4, 8, 100, 7, 0, 6},
		{ebpf.PerCPUHash, 4, 8, 100, 7, 0, 7},
	} {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: c.kind, KeySize: c.size, ValueSize: uint32(c.value), MaxEntries: c.max, Flags: c.flags})
		require.NoError(t, err, "the test needs root")
		defer m.Close()
		for i := range c.put {
			value := make([]byte, c.value)
			value[c.value-1] = byte(min(i, 1))
			var put any = value
			if c.kind == ebpf.PerCPUArray || c.kind == ebpf.PerCPUHash {
				all := make([][]byte, cpus)
				for j := range all {
					all[j] = value
				}
				put = all
			}
			require.NoError(t, m.Put(i, put))
		}
		n, ok, err := usage.Entries(m)
		require.NoError(t, err)
		assert.True(t, ok)
		assert.Equal(t, c.want, n, c.kind)
		bytes, ok, err := usage.Bytes(m)
		require.NoError(t, err)
		assert.True(t, ok)
		assert.GreaterOrEqual(t, bytes, uint64(c.put)*uint64(c.value), c.kind)
	}
	ring, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096})
	require.NoError(t, err)
	defer ring.Close()
	_, ok, err := usage.Entries(ring)
	require.NoError(t, err)
	assert.False(t, ok)
}
