// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/oakestra/oakestra-ebpf/bpf"
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
	counters := r.counters()
	var out []MapUse
	for _, name := range r.maps.Names() {
		m := r.maps.ByName(name)
		use := MapUse{Name: name, Type: m.Type().String(), MaxEntries: m.MaxEntries()}
		if count, ok := counters[name]; ok {
			n, err := count()
			if err != nil {
				return nil, fmt.Errorf("count entries of %s: %w", name, err)
			}
			use.Entries = &n
		}
		info, err := m.Info()
		if err != nil {
			return nil, fmt.Errorf("read about map %s: %w", name, err)
		}
		if bytes, ok := info.Memlock(); ok {
			use.Bytes = &bytes
		}
		out = append(out, use)
	}
	return out, nil
}

// counters returns for each map how its used entries are counted.
func (r *Reader) counters() map[string]func() (int, error) {
	m := r.maps
	return map[string]func() (int, error){
		"config":     entriesOf(m.Config),
		"heartbeat":  entriesOf(m.Heartbeat),
		"endpoints":  entriesOf(m.Endpoints),
		"local":      entriesOf(m.Local),
		"peers":      entriesOf(m.Peers),
		"peer_addrs": entriesOf(m.PeerAddrs),
		"peer_stats": entriesPerCPU(m.PeerStats),
		"sources":    entriesOf(m.Sources),
		"vips":       entriesOf(m.VIPs),
		"services":   entriesOf(m.Services),
		"cursors":    entriesOf(m.Cursors),
		"backends":   entriesOf(m.Backends),
		"flows4":     entriesOf(m.Flows4), "flows6": entriesOf(m.Flows6),
		"peer_health": entriesOf(m.PeerHealth), "loads": entriesOf(m.Loads), "fragments": entriesOf(m.Fragments),
		"pending":   entriesOf(m.Pending),
		"miss_rate": entriesOf(m.MissRate),
		"drops":     entriesPerCPU(m.Drops),
		"stats":     entriesPerCPU(m.Stats),
		"scratch":   entriesPerCPU(m.Scratch),
	}
}

func entriesOf[K, V comparable](t bpf.Table[K, V]) func() (int, error) {
	isArray := t.Map().Type() == ebpf.Array
	return func() (n int, err error) {
		var zero V
		for _, v := range t.All(&err) {
			if !isArray || v != zero {
				n++
			}
		}
		return n, err
	}
}

func entriesPerCPU[K, V comparable](t bpf.Table[K, []V]) func() (int, error) {
	return func() (n int, err error) {
		var zero V
		for _, perCPU := range t.All(&err) {
			if slices.ContainsFunc(perCPU, func(v V) bool { return v != zero }) {
				n++
			}
		}
		return n, err
	}
}
