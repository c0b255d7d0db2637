// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// advice says what to do about packets that are dropped for a reason, and how bad that is. Reasons that are not named here are of hostile
// or broken packets.
func advice(reason string) (level, text string) {
	switch reason {
	case "no_manager":
		return Failure, "start NetManager: first packets to new services wait for it"
	case "unresolved", "upcall_full":
		return Warning, "see whether the worker is connected to its cluster: `NetManager status`"
	case "upcall_rate":
		return Warning, "a container asks for too many unknown addresses: `oak-net flow --watch` shows whom it talks to"
	case "no_backend":
		return Warning, "a service has no usable instance: `oak-net service` and `oak-net node` show which and why"
	case "no_service":
		return Note, "somebody calls an address that nobody has: `oak-net route` lists those that are refused"
	case "peer_down", "encap_failed":
		return Failure, "an instance's worker cannot be reached: `oak-net node` shows which"
	case "conntrack_full":
		return Failure, "too many flows: `oak-net flow --sort -age` shows which are old, `oak-net flush flow` ends them"
	case "flow_share":
		return Warning, "a container has as many flows as it may and is refused new ones: `oak-net flow` shows whose; see `NetManager --flow-share`"
	case "port_exhausted":
		return Warning, "a container has too many flows to one service: `oak-net flow --src ADDRESS` lists them"
	case "unknown_peer", "wrong_peer":
		return Note, "somebody sends to the tunnel port without being greeted: a worker that left, or a stranger"
	case "bad_tag", "stale_route", "bad_source":
		return Note, "another worker's routes are behind; they follow within seconds"
	case "overlay_on_uplink":
		return Warning, "the network outside uses addresses of the overlay: give one of them another range"
	case "spoofed_source", "namespace_ip":
		return Note, "a container sends what it may not; `oak-net trace` shows which one"
	case "tunnel_device":
		return Failure, "restart NetManager: the uplink's program is not on every interface that packets of the tunnel arrive by"
	}
	return Note, ""
}

// Drops judges what was dropped between two moments.
func Drops(before, after []inspect.Drop, between time.Duration) Findings {
	was := map[string]uint64{}
	for _, d := range before {
		was[d.Kind+d.Reason] = d.Packets
	}
	var f Findings
	for _, d := range after {
		n := d.Packets - was[d.Kind+d.Reason]
		if d.Kind != inspect.CountsDrop || n == 0 {
			continue
		}
		level, text := advice(d.Reason)
		f.add(level, "drop "+d.Reason, fmt.Sprintf("%s in %.1f s", plural(int(n), "packet"), between.Seconds()), text)
	}
	if len(f) == 0 {
		f.add(OK, "drops", fmt.Sprintf("none in %.1f s", between.Seconds()), "")
	}
	return f
}
