// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/bpf/usage"
)

// MapUse is how full a map is.
type MapUse struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Entries are those in use: of an array, those that are not zero throughout; null of a ring buffer.
	Entries *int `json:"entries"`
	// MaxEntries is how many there may be; of a ring buffer, its bytes.
	MaxEntries uint32 `json:"max_entries"`
	// Bytes is the memory that the kernel has charged for it; null if it does not tell.
	Bytes *uint64 `json:"bytes"`
}

func (r *Reader) mapUses() ([]MapUse, error) {
	var out []MapUse
	for _, name := range r.maps.Names() {
		m := r.maps.ByName(name)
		use := MapUse{Name: name, Type: m.Type().String(), MaxEntries: m.MaxEntries()}
		n, counted, err := usage.Entries(m)
		if err != nil {
			return nil, fmt.Errorf("look at map %s: %w", name, err)
		}
		if counted {
			use.Entries = &n
		}
		bytes, told, err := usage.Bytes(m)
		if err != nil {
			return nil, fmt.Errorf("look at map %s: %w", name, err)
		}
		if told {
			use.Bytes = &bytes
		}
		out = append(out, use)
	}
	return out, nil
}
