// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
)

const (
	// lookEvery is how often round trips are compared with those that the cluster knows.
	lookEvery = 10 * time.Second
	// maxRoundTrips bounds those that are told: the nearest.
	maxRoundTrips = 64
)

// watchRoundTrips has the cluster told once round trips are not what it knows any more.
func (a *Agent) watchRoundTrips(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if told := a.toldTrips.Load(); differ(a.roundTrips(), told) {
			a.publish.endpoints()
		}
	}
}

// roundTrips are those to the nearest peers that answer, in ms to three digits.
func (a *Agent) roundTrips() map[string]float64 {
	o := a.overlay.Load()
	if o == nil {
		return nil
	}
	return nearest(o.peers.Peers())
}

func nearest(peers []peer.Status) map[string]float64 {
	peers = slices.DeleteFunc(peers, func(p peer.Status) bool { return p.RTT <= 0 || p.Silent })
	slices.SortFunc(peers, func(a, b peer.Status) int {
		return cmp.Or(cmp.Compare(a.RTT, b.RTT), cmp.Compare(a.WorkerID, b.WorkerID))
	})
	out := map[string]float64{}
	for _, p := range peers[:min(len(peers), maxRoundTrips)] {
		out[p.WorkerID] = math.Round(float64(p.RTT)/float64(time.Microsecond)) / 1000
	}
	return out
}

// differ reports whether what is measured now is worth telling: another peer, or a round trip that is off by a fifth and a fifth of a ms.
func differ(now map[string]float64, told *map[string]float64) bool {
	if told == nil || len(now) != len(*told) {
		return len(now) > 0 || told != nil
	}
	for id, ms := range now {
		was, ok := (*told)[id]
		if off := math.Abs(ms - was); !ok || off > was/5 && off > 0.2 {
			return true
		}
	}
	return false
}
