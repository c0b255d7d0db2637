// SPDX-License-Identifier: Apache-2.0

package device

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func sysctl6(t *testing.T, name, key string) string {
	t.Helper()
	v, err := os.ReadFile(filepath.Join(conf6, name, key))
	require.NoError(t, err)
	return strings.TrimSpace(string(v))
}

func TestQuietIPv6TakesBackWhatTheKernelHasGiven(t *testing.T) {
	netnstest.Enter(t)
	addVeth(t, "a", "192.0.2.1/24")
	l, err := netlink.LinkByName("a")
	require.NoError(t, err)
	// In its own time, and on this thread: others are in another namespace.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
		require.NoError(t, err)
		if len(addrs) > 0 {
			break
		}
		require.True(t, time.Now().Before(end), "the kernel gives a device that comes up a link-local address")
	}
	for range 2 {
		require.NoError(t, QuietIPv6("a"))
		requireAddresses(t, "a", "192.0.2.1/24")
		require.Equal(t, "0", sysctl6(t, "a", "disable_ipv6"))
		require.Equal(t, "0", sysctl6(t, "a", "accept_ra"))
	}
}

// TestARouterStillHearsAdvertisements covers both what kernels know of forwarding. The host's default route may come by advertisements.
func TestARouterStillHearsAdvertisements(t *testing.T) {
	netnstest.Enter(t)
	addVeth(t, "up", "2001:db8::1/64")
	addVeth(t, "deaf", "192.0.2.1/24")
	require.NoError(t, setSysctl("0", "ipv6", "conf", "deaf", "accept_ra"))
	hears := func(name string) bool {
		v := sysctl6(t, name, "accept_ra")
		return v == "2" || v == "1" && sysctl6(t, name, "forwarding") == "0"
	}
	require.True(t, hears("up"))
	require.NoError(t, RouteIPv6("up"))
	require.True(t, hears("up"))
	if _, err := os.Stat(filepath.Join(conf6, "up", forceForwarding)); err == nil {
		require.Equal(t, "1", sysctl6(t, "up", forceForwarding))
		require.Equal(t, "0", sysctl6(t, "all", "forwarding"), "the host is no router of its other networks")
	}

	require.NoError(t, routeAllIPv6()) // what kernels before 6.17 need
	require.Equal(t, "1", sysctl6(t, "up", "forwarding"))
	require.True(t, hears("up"))
	require.True(t, hears("default"), "devices that come later hear them too")
	require.Equal(t, "0", sysctl6(t, "deaf", "accept_ra"), "who was deaf stays so")

	// Whoever has made the host a router has decided about advertisements too.
	require.NoError(t, setSysctl("1", "ipv6", "conf", "up", "accept_ra"))
	require.NoError(t, routeAllIPv6())
	require.Equal(t, "1", sysctl6(t, "up", "accept_ra"))
}
