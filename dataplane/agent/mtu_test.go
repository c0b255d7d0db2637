// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// IPv4 leaves packets 20 bytes more than IPv6 does. While there is a peer that is met by IPv6, containers' packets fit the way to it. The host's
// own device still takes what those send that have met nobody by IPv6.
func TestContainersMTUFitsThePeers(t *testing.T) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns, families...)
	a.join()
	b.join()
	path, _ := container(t, "a")
	otherPath, _ := container(t, "b")
	from, to := a.attach(0, path), b.attach(1, otherPath)
	require.Equal(t, 1464, a.link(from.Interface).Attrs().MTU, "nobody is met yet")
	ma := a.maps()
	met := func(outer netip.Addr) func() bool {
		return func() bool {
			var err error
			for _, p := range ma.Peers.All(&err) {
				if p.State == bpf.PeerUp && p.Outer.Netip() == outer {
					return true
				}
			}
			require.NoError(t, err)
			return false
		}
	}
	// As if a NAT that lets nobody in were before both IPv4 addresses.
	hidden := func(w *worker) *worker {
		other := *w
		other.told.Outer = slices.DeleteFunc(slices.Clone(w.told.Outer), func(p netip.AddrPort) bool { return p.Addr().Is4() })
		require.NotEmpty(t, other.told.Outer)
		return &other
	}
	b.meet(hidden(a), from)
	a.meet(hidden(b), to)
	a.eventually("they meet by IPv6", met(inIPv6.outer(1)))
	a.eventually("containers' packets fit", func() bool { return a.link(from.Interface).Attrs().MTU == 1444 })
	require.Equal(t, 1464, a.link(device.Host).Attrs().MTU)

	a.kill()
	a.start()
	a.eventually("it is ready again", func() bool { return a.status().Ready })
	require.Equal(t, 1444, a.link(from.Interface).Attrs().MTU, "as it was")

	b.meet(a, from)
	a.meet(b, to)
	a.eventually("they meet by IPv4", met(inIPv4.outer(1)))
	a.eventually("containers get what that leaves", func() bool { return a.link(from.Interface).Attrs().MTU == 1464 })
}
