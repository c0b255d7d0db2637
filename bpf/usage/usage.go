// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// batch is how many entries one system call reads; it has to hold the longest chain of a hash bucket.
const batch = 4096

// Bytes returns the memory that the kernel has charged for a map, and whether it tells. Linux 6.4 counts a map's entries as they are,
// older ones reckon with as many as there may be.
func Bytes(m *ebpf.Map) (uint64, bool, error) {
	info, err := m.Info()
	if err != nil {
		return 0, false, fmt.Errorf("read about map: %w", err)
	}
	n, ok := info.Memlock()
	return n, ok, nil
}

// Entries counts the entries in use: of a hash all, of an array those that are not zero throughout. A map that has no entries, such as
// a ring buffer, is not counted: ok is false.
func Entries(m *ebpf.Map) (n int, ok bool, err error) {
	switch m.Type() {
	case ebpf.Hash, ebpf.LRUHash, ebpf.Array:
		n, err = counted(m)
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash, ebpf.LPMTrie:
		n, err = visited(m)
	default:
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("count entries of map: %w", err)
	}
	return n, true, nil
}

// isArray says that all keys are there at any time.
func isArray(m *ebpf.Map) bool { return m.Type() == ebpf.Array || m.Type() == ebpf.PerCPUArray }

// counted reads many entries at a time, as byte arrays of the map's own sizes.
func counted(m *ebpf.Map) (n int, err error) {
	size := min(batch, int(m.MaxEntries()))
	slice := func(bytes uint32) reflect.Value {
		of := reflect.ArrayOf(int(bytes), reflect.TypeFor[byte]())
		return reflect.MakeSlice(reflect.SliceOf(of), size, size)
	}
	keys, values := slice(m.KeySize()), slice(m.ValueSize())
	zero := make([]byte, m.ValueSize())
	var cursor ebpf.MapBatchCursor
	for {
		read, err := m.BatchLookup(&cursor, keys.Interface(), values.Interface(), nil)
		if !isArray(m) {
			n += read
		} else {
			for i := range read {
				if !bytes.Equal(values.Index(i).Bytes(), zero) {
					n++
				}
			}
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// visited reads one entry at a time. It visits no more than there can be: a key that is deleted meanwhile makes the kernel begin anew.
func visited(m *ebpf.Map) (n int, err error) {
	key, err := m.NextKeyBytes(nil)
	for range m.MaxEntries() {
		if err != nil || key == nil {
			break
		}
		used := true
		if isArray(m) {
			value, err := m.LookupBytes(key)
			if err != nil {
				return n, err
			}
			used = len(bytes.Trim(value, "\x00")) > 0
		}
		if used {
			n++
		}
		key, err = m.NextKeyBytes(key)
	}
	return n, err
}
