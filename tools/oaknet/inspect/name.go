// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"math/bits"
	"net"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// policyName is what a policy is called in descriptors.
func policyName(p uint32) string {
	switch p {
	case bpf.PolicyNone:
		return "none"
	case bpf.PolicyRoundRobin:
		return "rr"
	case bpf.PolicyClosest:
		return "closest"
	case bpf.PolicyUnderutilized:
		return "underutilized"
	case bpf.PolicyInstance:
		return "instance"
	}
	return fmt.Sprintf("policy-%d", p)
}

func peerState(s uint32) string {
	switch s {
	case bpf.PeerGreeting:
		return "greeting"
	case bpf.PeerUp:
		return "up"
	case bpf.PeerUnreachable, bpf.PeerBothSymmetric, bpf.PeerOneSymmetric:
		return "unreachable"
	}
	return fmt.Sprintf("state-%d", s)
}

// natReason says which NATs keep a peer from being met; "" if none do.
func natReason(s uint32) string {
	switch s {
	case bpf.PeerBothSymmetric:
		return "both behind symmetric NAT"
	case bpf.PeerOneSymmetric:
		return "one behind a symmetric NAT, the other behind a NAT that lets nobody in"
	}
	return ""
}

func generation(packed uint64) string { return wire.UnpackGeneration(packed).String() }

// prefix is the inverse of [bpf.PrefixFrom].
func prefix(p bpf.Prefix) netip.Prefix {
	if p.Mask == (bpf.Addr{}) {
		return netip.Prefix{}
	}
	ones := 0
	for _, b := range p.Mask.B {
		n := bits.LeadingZeros8(^b)
		ones += n
		if n < 8 {
			break
		}
	}
	addr := p.Addr.Netip()
	if addr.Is4() {
		ones -= 96
	}
	return netip.PrefixFrom(addr, ones)
}

// mac returns a hardware address as text, the zero one as none.
func mac(m [6]uint8) string {
	if m == ([6]uint8{}) {
		return ""
	}
	return net.HardwareAddr(m[:]).String()
}

// InstanceAddresses are an instance's addresses in both families; an empty one is none.
type InstanceAddresses struct {
	// NamespaceIP is the address inside the instance's network namespace.
	NamespaceIP   netip.Addr `json:"namespace_ip"`
	NamespaceIPv6 netip.Addr `json:"namespace_ipv6"`
	// InstanceIP is the address that the instance keeps wherever it runs, and that others see it as.
	InstanceIP   netip.Addr `json:"instance_ip"`
	InstanceIPv6 netip.Addr `json:"instance_ipv6"`
}

func instanceAddresses(ns, inst [2]bpf.Addr) InstanceAddresses {
	return InstanceAddresses{
		NamespaceIP: ns[bpf.V4].Netip(), NamespaceIPv6: ns[bpf.V6].Netip(),
		InstanceIP: inst[bpf.V4].Netip(), InstanceIPv6: inst[bpf.V6].Netip(),
	}
}
