// SPDX-License-Identifier: Apache-2.0

package bpf

import "time"

// SilenceLimit is how long a peer may leave echoes unanswered until no new flow goes there.
const SilenceLimit = time.Duration(mapsOakLimitsOAK_SILENCE_MS) * time.Millisecond

// unaskedLimit is how long no echo may have been sent until NetManager counts as away.
const unaskedLimit = time.Duration(mapsOakLimitsOAK_UNASKED_MS) * time.Millisecond

// Silent reports whether new flows pass the peer over at a time of the programs' clock, as the programs decide it (health.h).
func (h mapsOakPeerHealth) Silent(now time.Duration) bool {
	since := func(then uint64) time.Duration { return now - time.Duration(then) }
	if h.Asked == 0 || since(h.Asked) < SilenceLimit {
		return false
	}
	return since(h.Sent) <= unaskedLimit || h.Heard <= h.Sent
}

// RTT is the smoothed round trip; 0 if none was measured yet.
func (h mapsOakPeerHealth) RTT() time.Duration {
	if h.Sampled == 0 {
		return 0
	}
	return time.Duration(h.RttUs) * time.Microsecond
}
