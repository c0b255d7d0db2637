// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// manyServices are as many as a worker is made for, ten instances each.
func manyServices(n int) []wire.NetRoutes {
	at4 := func(base byte, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, base + byte(i>>16), byte(i >> 8), byte(i)})
	}
	at6 := func(base byte, i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0xff, 2: base, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
	}
	all := make([]wire.NetRoutes, n)
	for i := range all {
		r := routesOf(1)
		r.ServiceID = fmt.Sprintf("%024x", i+1)
		r.Addresses = nil
		for p, policy := range []wire.Policy{wire.PolicyRoundRobin, wire.PolicyClosest, wire.PolicyUnderutilized} {
			r.Addresses = append(r.Addresses, wire.ServiceAddress{Policy: policy, Address: at4(30, 3*i+p)}, wire.ServiceAddress{Policy: policy, Address: at6(1, 3*i+p)})
		}
		for k := range 10 {
			at := instance(k, 1, peerB)
			at.InstanceIP, at.InstanceIPv6 = at4(60, 10*i+k), at6(2, 10*i+k)
			at.NamespaceIP, at.NamespaceIPv6 = at4(90, 10*i+k), at6(3, 10*i+k)
			r.Instances = append(r.Instances, at)
		}
		all[i] = r
	}
	return all
}

// TestManyServicesAreLoadedAtOnce loads ten thousand services of ten instances each. The bound is far above what it takes, about half a
// second: it is for what would take minutes.
func TestManyServicesAreLoadedAtOnce(t *testing.T) {
	w := newWorld(t)
	all := manyServices(10_000)
	start := time.Now()
	for _, r := range all {
		require.NoError(t, w.Apply(r))
	}
	took := time.Since(start)
	t.Logf("10,000 services of 10 instances took %s", took)
	if os.Getenv("OAK_EMULATED") == "" {
		require.Less(t, took, 20*time.Second)
	}
	entries := 0
	var err error
	for range w.maps.VIPs.All(&err) {
		entries++
	}
	require.NoError(t, err)
	require.Equal(t, 10_000*(6+20), entries)
	last, _, err := w.maps.VIPs.Lookup(bpf.AddrFrom(all[9_999].Instances[9].InstanceIPv6))
	require.NoError(t, err)
	require.EqualValues(t, bpf.PolicyInstance, last.Policy)
}
