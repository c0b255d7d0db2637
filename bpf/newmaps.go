// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// NewMaps creates all maps empty and without pins, for tests and for tools that model the dataplane. They are gone once closed.
func NewMaps() (*Maps, error) {
	spec, err := loadMaps()
	if err != nil {
		return nil, fmt.Errorf("read the map object: %w", err)
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	collection, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("create maps without pins: %w", err)
	}
	defer collection.Close()
	return MapsOf(collection)
}
