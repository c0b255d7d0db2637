// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// ErrMap is returned for a map that does not exist or cannot be listed.
var ErrMap = errors.New("cannot dump map")

// RawEntry is one entry of a map as its bytes, in hexadecimal.
type RawEntry struct {
	Key string `json:"key"`
	// Values has one value for each processor where the map is kept by processor, else one.
	Values []string `json:"values"`
}

// MapNames lists the maps that can be dumped.
func (r *Reader) MapNames() []string {
	return slices.DeleteFunc(r.maps.Names(), func(name string) bool { return r.maps.ByName(name).Type() == ebpf.RingBuf })
}

// Dump returns the raw entries of a map, by key. Entries of an array that are zero throughout are left out, unless zeros is set. Of
// a map that changes meanwhile an entry may be missed.
func (r *Reader) Dump(name string, zeros bool) ([]RawEntry, error) {
	if !slices.Contains(r.MapNames(), name) {
		return nil, fmt.Errorf("%w %q: choose one of %s", ErrMap, name, strings.Join(r.MapNames(), ", "))
	}
	m := r.maps.ByName(name)
	keyed := m.Type() == ebpf.Hash || m.Type() == ebpf.LRUHash
	out := []RawEntry{}
	// No more than there can be: a key that is deleted while it is visited makes the kernel begin anew.
	key, err := m.NextKeyBytes(nil)
	for range m.MaxEntries() {
		if err != nil || key == nil {
			break
		}
		value, lookupErr := m.LookupBytes(key)
		switch {
		case lookupErr != nil:
			return nil, fmt.Errorf("read map %s: %w", name, lookupErr)
		case value != nil && (keyed || zeros || len(bytes.Trim(value, "\x00")) > 0):
			out = append(out, RawEntry{hex.EncodeToString(key), perCPU(m, value)})
		}
		key, err = m.NextKeyBytes(key)
	}
	if err != nil {
		return nil, fmt.Errorf("list map %s: %w", name, err)
	}
	if keyed {
		slices.SortFunc(out, func(a, b RawEntry) int { return strings.Compare(a.Key, b.Key) })
		out = slices.CompactFunc(out, func(a, b RawEntry) bool { return a.Key == b.Key })
	}
	return out, nil
}

// perCPU cuts what the kernel returned into the values of processors, each of which it pads to 8 bytes.
func perCPU(m *ebpf.Map, value []byte) []string {
	if m.Type() != ebpf.PerCPUArray {
		return []string{hex.EncodeToString(value)}
	}
	size := int(m.ValueSize())
	var out []string
	for part := range slices.Chunk(value, (size+7)&^7) {
		out = append(out, hex.EncodeToString(part[:min(size, len(part))]))
	}
	return out
}
