// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// kind is what flows are counted by.
type kind struct{ family, protocol, state string }

// States of flows, as the flags of their entries tell them.
const (
	opening     = "opening"
	established = "established"
	ended       = "ended"
)

// countFlows counts flows once, by their openers' entries. All kinds of the protocols that end by themselves are there, so that none is missing
// from a graph while there is no such flow.
func (c *collector) countFlows() (map[kind]int, error) {
	flows := map[kind]int{}
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, protocol := range []string{"tcp", "udp", "icmp"} {
			flows[kind{family, protocol, opening}], flows[kind{family, protocol, established}] = 0, 0
		}
		flows[kind{family, "tcp", ended}] = 0
	}
	var err error
	for key, flow := range c.maps.Flows().All(&err) {
		if flow.Flags&bpf.FlowReply == 0 {
			flows[kindOf(key, flow)]++
		}
	}
	return flows, err
}

func kindOf(key bpf.FlowKey, flow bpf.Flow) kind {
	k := kind{"ipv6", "icmp", opening}
	if key.Dst.Netip().Is4() {
		k.family = "ipv4"
	}
	switch key.Proto {
	case unix.IPPROTO_TCP:
		k.protocol = "tcp"
	case unix.IPPROTO_UDP:
		k.protocol = "udp"
	}
	switch {
	case flow.Flags&(bpf.FlowClosed|bpf.FlowDead) != 0:
		k.state = ended
	case flow.Flags&bpf.FlowEstablished != 0:
		k.state = established
	}
	return k
}
