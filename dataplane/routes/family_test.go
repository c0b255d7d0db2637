// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestAMissInOneFamilyBringsBoth: who looks a service up in one family will not have to wait for the other.
func TestAMissInOneFamilyBringsBoth(t *testing.T) {
	const rr6 = "fdff:2000::1"
	for miss, further := range map[string]string{rr: rr6, rr6: rr} {
		w := newWorld(t)
		w.Want(netip.MustParseAddr(miss))
		require.Equal(t, []string{miss}, addresses(w.Interest()))
		i := instance(0, 1, peerB)
		i.InstanceIPv6, i.NamespaceIPv6 = netip.MustParseAddr("fdff::1"), netip.MustParseAddr("fc00::102")
		r := routesOf(1, i)
		r.Addresses = append(r.Addresses, wire.ServiceAddress{Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr(rr6)})
		require.NoError(t, w.Apply(r))
		for _, a := range []string{rr, rr6, "10.30.0.1", "fdff::1"} {
			_, known, err := w.maps.VIPs.Lookup(bpf.AddrFrom(netip.MustParseAddr(a)))
			require.NoError(t, err)
			require.True(t, known, a)
		}
		published := w.published
		w.answers = nil
		w.Want(netip.MustParseAddr(further))
		require.Equal(t, []string{further + " true"}, w.answers)
		require.Equal(t, published, w.published, "the cluster is not asked again")
	}
}
