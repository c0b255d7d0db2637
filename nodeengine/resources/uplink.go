// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UplinkKbit returns the speed of the link of the default route, IPv4's before IPv6's, in kbit/s; 0 if there is none or it tells none, as
// devices of virtual machines do not. Of several the slowest counts.
func UplinkKbit() int64 {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			continue
		}
		slowest := int64(0)
		for _, r := range routes {
			if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
				continue
			}
			link, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				continue
			}
			if kbit := linkKbit("/sys/class/net", link.Attrs().Name); kbit > 0 && (slowest == 0 || kbit < slowest) {
				slowest = kbit
			}
		}
		if slowest > 0 {
			return slowest
		}
	}
	return 0
}

// linkKbit reads what a network device says of its speed; 0 if it says nothing, or that it does not know.
func linkKbit(sys, name string) int64 {
	text, err := os.ReadFile(filepath.Join(sys, name, "speed")) // in Mbit/s; fails with EINVAL where there is no such thing
	if err != nil {
		return 0
	}
	mbit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || mbit <= 0 || mbit > 1_000_000_000 {
		return 0
	}
	return mbit * 1000
}
