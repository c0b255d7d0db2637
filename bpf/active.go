// SPDX-License-Identifier: Apache-2.0

package bpf

import "time"

// How the programs write down the flows that underutilized has given a backend lately (policy.h).
const (
	latelyTime   = 12 // bits of the time, in steps of 1 << latelyHalved ns
	latelyHalved = 30
)

// Open is how many flows are open. Processors that take the last ones away at the same time may count below 0.
func (f mapsOakLoad) Open() uint32 { return uint32(max(0, int32(f.Active))) }

// Given is how many flows underutilized has given it lately, at a time of the programs' clock: their number is halved about every second.
func (f mapsOakLoad) Given(now time.Duration) uint32 {
	const mask = 1<<latelyTime - 1
	halved := (uint32(now>>latelyHalved) - f.Lately) & mask
	if halved >= 32 {
		return 0
	}
	return f.Lately >> latelyTime >> halved
}

// Cost is what speaks against a backend under underutilized, at a time of the programs' clock.
func (f mapsOakLoad) Cost(load uint16, now time.Duration) uint32 {
	return (min(max(f.Open(), f.Given(now)), 1_000_000) + 1) * (uint32(LoadFull) + 3*uint32(min(load, LoadFull)))
}
