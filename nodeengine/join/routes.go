// SPDX-License-Identifier: Apache-2.0

package join

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxRoutes bounds what is told of a routing table; a worker that is a router of the internet's full table has no say.
const maxRoutes = 4096

// ownDevices is how names of the overlay's devices begin; routes through them are ours.
const ownDevices = "oak"

// Routes returns the prefixes of the host's main table that are not default routes and not the overlay's own, sorted.
func Routes() ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	own := map[int]bool{}
	for _, l := range links {
		own[l.Attrs().Index] = strings.HasPrefix(l.Attrs().Name, ownDevices)
	}
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var prefixes []string
	for _, r := range list {
		if r.Dst == nil || own[r.LinkIndex] {
			continue
		}
		if ones, _ := r.Dst.Mask.Size(); ones == 0 || r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
			continue
		}
		prefixes = append(prefixes, r.Dst.String())
	}
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	return prefixes[:min(len(prefixes), maxRoutes)], nil
}
