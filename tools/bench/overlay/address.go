// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Ranges that hold a cluster of 16,000 services and 130,000 instances.
var (
	workers4  = netip.MustParsePrefix("10.64.0.0/10")
	workers6  = netip.MustParsePrefix("fc00::/16")
	services4 = netip.MustParsePrefix("10.128.0.0/10")
	services6 = netip.MustParsePrefix("fdff::/16")
)

// Names that nothing depends on.
const (
	jobName  = "bench.bench.service.bench"
	workerA  = "aaaaaaaaaaaaaaaaaaaaaaaa"
	workerB  = "bbbbbbbbbbbbbbbbbbbbbbbb"
	perOwner = 64 // addresses of a worker's own subnet
)

var first = wire.Generation{Placement: 1, Move: 1}

// service numbers the services, and gives them their addresses by that.
type service uint32

// The services that traffic goes through; others follow.
const (
	clients service = iota
	sameWorker
	otherWorker
	fillers
)

func (s service) id() string { return fmt.Sprintf("%024x", uint32(s)+1) }

// policies that have service addresses, in the order of their ranges.
var policies = []wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized}

// address is the service's of a policy.
func (s service) address(policy wire.Policy, ipv6 bool) netip.Addr {
	for i, p := range policies {
		if p != policy {
			continue
		}
		if ipv6 {
			return nth(netip.MustParseAddr([]string{"fdff:2000::", "fdff:1000::", "fdff:3000::"}[i]), uint32(s)+1)
		}
		return nth(netip.MustParseAddr("10.128.0.0"), uint32(i)<<16+uint32(s)+1)
	}
	return netip.Addr{}
}

func (s service) addresses() (out []wire.ServiceAddress) {
	for _, p := range policies {
		for _, ipv6 := range []bool{false, true} {
			out = append(out, wire.ServiceAddress{Policy: p, Address: s.address(p, ipv6)})
		}
	}
	return out
}

// instance is one of a service's, with its addresses for life.
type instance struct {
	service service
	key     wire.InstanceKey
	v4, v6  netip.Addr
}

// maxInstances a service; the addresses of services' instances do not overlap up to it.
const maxInstances = 16

func (s service) instance(number int) instance {
	n := uint32(s)*maxInstances + uint32(number) + 1
	return instance{service: s, key: wire.InstanceKey{ServiceID: s.id(), Number: number},
		v4: nth(netip.MustParseAddr("10.160.0.0"), n), v6: nth(netip.MustParseAddr("fdff::"), n)}
}

// elsewhere is the namespace address of an instance that no packet is sent to.
func (i instance) elsewhere(ipv6 bool) netip.Addr {
	n := uint32(i.service)*maxInstances + uint32(i.key.Number)
	if ipv6 {
		return nth(netip.MustParseAddr("fc00:1::"), n)
	}
	return nth(netip.MustParseAddr("10.72.0.0"), n)
}

// nth is the address n after a.
func nth(a netip.Addr, n uint32) netip.Addr {
	b := a.AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+n)
	out, _ := netip.AddrFromSlice(b)
	return out
}

// subnets are those of the n-th worker.
func subnets(n int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(nth(workers4.Addr(), uint32(n)*perOwner), 26), netip.PrefixFrom(nth(workers6.Addr(), uint32(n)*256), 120),
	}
}
