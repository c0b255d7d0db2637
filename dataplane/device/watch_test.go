// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func TestWatchTellsOfChanges(t *testing.T) {
	netnstest.Enter(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed, err := Watch(ctx)
	require.NoError(t, err)
	told := func() bool {
		select {
		case _, open := <-changed:
			require.True(t, open)
			return true
		case <-time.After(2 * time.Second):
			return false
		}
	}
	quiet := func() {
		for {
			select {
			case <-changed:
			case <-time.After(4 * watchPause):
				return
			}
		}
	}
	quiet()

	la := netlink.NewLinkAttrs()
	la.Name = "a"
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "b"}))
	require.True(t, told(), "a new device")
	quiet()
	link, err := netlink.LinkByName("a")
	require.NoError(t, err)
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	require.NoError(t, err)
	require.NoError(t, netlink.AddrAdd(link, addr))
	require.True(t, told(), "an address")
	quiet()
	require.NoError(t, netlink.LinkSetUp(link))
	require.True(t, told(), "a device that comes up")
	quiet()

	// A flood of changes is told of, and blocks nobody.
	for i := range 200 {
		require.NoError(t, netlink.LinkSetMTU(link, 1400+i%2))
	}
	require.True(t, told(), "the last of many")

	cancel()
	require.Eventually(t, func() bool {
		_, open := <-changed
		return !open
	}, 2*time.Second, time.Millisecond)
}
