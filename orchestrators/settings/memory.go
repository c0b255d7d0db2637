// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Memory of an orchestrator. It is one of many programs of a small machine: processor time is spent on being small.
const (
	// gcPercent has garbage collected once the heap has grown by three tenths, where Go waits until it has doubled.
	gcPercent = 30
	// trimEvery is how often memory is given back that a burst has left, such as hashing a password, which takes more than all the rest.
	trimEvery = 5 * time.Second
	// least is how much of it, in bytes, has to be lying about, a quarter of what is in use besides.
	least = 6 << 20
)

// KeepSmall keeps the process's memory near what it uses, until ctx ends. The environment's GOGC counts for more.
func KeepSmall(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if used, idle := heap(); idle > max(least, used/4) {
			debug.FreeOSMemory()
		}
	}
}

// heap returns how much of the heap is in use, garbage included, and how much is held without use, in bytes.
func heap() (used, idle uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	used, idle = samples[0].Value.Uint64(), samples[1].Value.Uint64()
	if live := samples[2].Value.Uint64(); used > live {
		// What has not survived the last collection may go as well.
		idle += (used - live) / 2
	}
	return used, idle
}
