// SPDX-License-Identifier: Apache-2.0

package bpf

import "time"

// Limit is how long a packet in the tunnel to a peer may be for what a router on the way has said, as the programs go by it at a time of
// their clock (path.h); 0 if nothing was said of the way to where the peer is now, or too long ago.
func (w mapsOakPath) Limit(p Peer, now time.Duration) uint16 {
	if time.Duration(w.Until) <= now || w.Outer != p.Outer || w.Local != p.Local {
		return 0
	}
	return uint16(min(w.Mtu, 0xffff))
}
