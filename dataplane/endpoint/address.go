// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// quarantine is how long a freed address rests while others are free. It is no more than tidiness: tags see to it that a
// stale route reaches no new owner.
const quarantine = 10 * time.Minute

// freed is an address that an endpoint has given back, and what that was: if the same copy of the instance comes again, as after a
// reboot, it gets address and tag again, so that the routes of other workers lead to it though the cluster is away.
type freed struct {
	Address    netip.Addr        `json:"address"`
	At         time.Time         `json:"at"`
	Instance   *wire.InstanceKey `json:"instance,omitempty"`
	Generation wire.Generation   `json:"generation,omitzero"`
	Tag        uint32            `json:"tag,omitempty"`
}

// restingOf finds the address of a family, and the tag, that the very same copy of an instance has given back.
func restingOf(resting []freed, key wire.InstanceKey, g wire.Generation, f family) (a netip.Addr, tag uint32, ok bool) {
	for _, r := range resting {
		if r.Instance != nil && *r.Instance == key && r.Generation == g && r.Tag != 0 && r.Address.Is4() == (f == v4) {
			a, tag, ok = r.Address, r.Tag, true // the last one counts
		}
	}
	return a, tag, ok
}

// allocate returns the lowest free address of those subnets that are of the family, if it does not rest, or else the one that has
// rested longest. The network, its gateway and, of IPv4, its broadcast address are never given.
func allocate(subnets []netip.Prefix, f family, taken func(netip.Addr) bool, resting []freed, now time.Time) (netip.Addr, error) {
	since := make(map[netip.Addr]time.Time, len(resting))
	for _, f := range resting {
		if now.Sub(f.At) < quarantine {
			since[f.Address] = f.At
		}
	}
	var oldest netip.Addr
	for _, p := range subnets {
		if p.Addr().Is4() != (f == v4) {
			continue
		}
		p = p.Masked()
		gateway := device.Gateway(p)
		for a := p.Addr().Next(); p.Contains(a); a = a.Next() {
			if f == v4 && !p.Contains(a.Next()) {
				break // the broadcast's
			}
			if a == gateway || taken(a) {
				continue
			}
			at, rests := since[a]
			if !rests {
				return a, nil
			}
			if !oldest.IsValid() || at.Before(since[oldest]) {
				oldest = a
			}
		}
	}
	if !oldest.IsValid() {
		return netip.Addr{}, fmt.Errorf("%w in %s: detach an instance, or have the cluster lease this worker another subnet", ErrFull, join(subnets))
	}
	return oldest, nil
}

// rested forgets what has rested long enough.
func rested(list []freed, now time.Time) []freed {
	kept := list[:0]
	for _, f := range list {
		if now.Sub(f.At) < quarantine {
			kept = append(kept, f)
		}
	}
	return kept
}

func join(subnets []netip.Prefix) string {
	var b strings.Builder
	for i, p := range subnets {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	return b.String()
}
