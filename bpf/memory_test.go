// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"testing"

	"github.com/oakestra/oakestra-ebpf/bpf/usage"
)

// mostMemory is what all maps of a worker may take together, full of what a large site has.
const mostMemory = 128 << 20

// TestMemoryOfAFullWorker fills the maps with 10,000 services, 100,000 instances, all in both families, and 262,144 flows of IPv4, and holds
// what the kernel has charged for all maps against the bound. What it charges leaves out that it rounds entries up; the entries are of sizes
// that lose little by that: 128 bytes a direction of a flow, none lost, and 96 an address, 8 of them lost.
func TestMemoryOfAFullWorker(t *testing.T) {
	m, err := NewMaps()
	must(t, err)
	defer m.Close()
	const services, instances, flows = 10_000, 100_000, 262_144
	addr := func(i int, family byte) (a Addr) {
		a.B[0] = 0xfd
		a.B[1] = family
		binary.BigEndian.PutUint32(a.B[12:], uint32(i))
		return a
	}
	var addrs []Addr
	for i := range 3*services + instances {
		addrs = append(addrs, addr(i, 4), addr(i, 6))
	}
	must(t, m.VIPs.PutAll(addrs, make([]VIP, len(addrs))))
	keys := make([]mapsOakKey4, 2*flows)
	for i := range keys {
		keys[i].Src, keys[i].Zone = uint32(i), 6<<24
	}
	must(t, m.Flows4.PutAll(keys, make([]mapsOakCt4, len(keys))))
	if MaxServices <= services || MaxBackends <= instances {
		t.Errorf("room for %d services and %d instances, want %d and %d", MaxServices-1, MaxBackends-1, services, instances)
	}
	total := uint64(0)
	for _, name := range m.Names() {
		n, ok, err := usage.Bytes(m.ByName(name))
		must(t, err)
		if !ok {
			t.Skipf("the kernel does not tell what map %s takes, as it does since Linux 4.10", name)
		}
		if n >= 1<<20 {
			t.Logf("%-12s %6.1f MiB", name, float64(n)/(1<<20))
		}
		total += n
	}
	t.Logf("%-12s %6.1f MiB", "all", float64(total)/(1<<20))
	if total > mostMemory {
		t.Errorf("all maps together take %d bytes, want at most %d", total, mostMemory)
	}
}
