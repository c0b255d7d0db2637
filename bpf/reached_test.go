// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"flag"
	"maps"
	"slices"
	"sync"
)

// reached holds what packets of all tests of this run have been counted as: reasons of drops, and where they went.
var reached = struct {
	sync.Mutex
	names map[string]bool
}{names: map[string]bool{}}

// rare are the reasons that no packet is sure to lead to, and why not.
var rare = map[string]string{
	"encap_failed":   "the kernel has no room for outer headers",
	"by_card":        "a test run of the uplink's program has no room in front of the packet; package datapath goes by real devices",
	"rewrite_failed": "the kernel has no memory to make a header its own before it is changed",
}

// remember notes what the programs of a world have counted.
func (k *kernel) remember() {
	reached.Lock()
	defer reached.Unlock()
	for name := range k.drops() {
		reached.names[name] = true
	}
	names, err := StatNames()
	must(k.t, err)
	for n, name := range names {
		perCPU, _, err := k.maps.Stats.Lookup(n)
		must(k.t, err)
		for _, c := range perCPU {
			if c.Packets > 0 {
				reached.names[name] = true
			}
		}
	}
}

// unreached lists the counters that should have counted something and did not.
func unreached() []string {
	want := map[string]bool{}
	for _, read := range []func() (map[uint32]string, error){DropReasons, StatNames} {
		names, err := read()
		if err != nil {
			return []string{err.Error()}
		}
		for _, name := range names {
			want[name] = true
		}
	}
	for name := range want {
		if reached.names[name] || rare[name] != "" {
			delete(want, name)
		}
	}
	return slices.Sorted(maps.Keys(want))
}

// wholeRun reports whether all tests were run, not only chosen ones.
func wholeRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}
