// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cilium/ebpf"
)

// Table is a typed view of one map. All its methods may be used from several goroutines.
type Table[K, V any] struct {
	m *ebpf.Map
}

// Map returns the map underneath.
func (t Table[K, V]) Map() *ebpf.Map { return t.m }

// Lookup returns the value of key and whether there is one.
func (t Table[K, V]) Lookup(key K) (V, bool, error) {
	var value V
	err := t.m.Lookup(&key, &value)
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return value, false, nil
	case err != nil:
		return value, false, fmt.Errorf("look up in map %s: %w", t.name(), err)
	}
	return value, true, nil
}

// Put sets the value of key.
func (t Table[K, V]) Put(key K, value V) error {
	if err := t.m.Put(&key, t.argument(&value)); err != nil {
		return fmt.Errorf("write map %s: %w", t.name(), err)
	}
	return nil
}

// argument is how a value is handed to the library: by pointer, which it passes to the kernel as it lies in memory, and not as a copy made
// field by field. Of a map that has one value a processor it wants the slice.
func (t Table[K, V]) argument(value *V) any {
	switch t.m.Type() {
	case ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		return *value
	}
	return value
}

// PutAll sets many values with few system calls. If it fails some may have been set.
func (t Table[K, V]) PutAll(keys []K, values []V) error {
	for len(keys) > 0 {
		n := min(len(keys), batchEntries)
		if _, err := t.m.BatchUpdate(keys[:n], values[:n], nil); err != nil {
			return fmt.Errorf("write %d entries of map %s: %w", n, t.name(), err)
		}
		keys, values = keys[n:], values[n:]
	}
	return nil
}

// Delete removes key; that there is none is no error.
func (t Table[K, V]) Delete(key K) error {
	if err := t.m.Delete(&key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete from map %s: %w", t.name(), err)
	}
	return nil
}

// batchEntries is how many entries one system call reads; it has to hold the longest chain of a hash bucket.
const batchEntries = 4096

// All yields every entry. One that programs change meanwhile may be missed or come twice. The error, if any, is in *errp once
// the sequence has ended; errp may be nil.
func (t Table[K, V]) All(errp *error) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		var err error
		switch t.m.Type() {
		case ebpf.Hash, ebpf.LRUHash, ebpf.Array:
			err = t.batches(yield)
		default:
			err = t.entries(yield)
		}
		if err != nil && errp != nil {
			*errp = fmt.Errorf("list map %s: %w", t.name(), err)
		}
	}
}

func (t Table[K, V]) batches(yield func(K, V) bool) error {
	size := min(batchEntries, int(t.m.MaxEntries()))
	keys, values := make([]K, size), make([]V, size)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			if !yield(keys[i], values[i]) {
				return nil
			}
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil
		case err != nil:
			return err
		}
	}
}

func (t Table[K, V]) entries(yield func(K, V) bool) error {
	var key K
	var value V
	it := t.m.Iterate()
	for it.Next(&key, &value) {
		if !yield(key, value) {
			return nil
		}
	}
	return it.Err()
}

func (t Table[K, V]) name() string {
	if info, err := t.m.Info(); err == nil {
		return info.Name
	}
	return "?"
}
