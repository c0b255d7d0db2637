// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses returns all global addresses of the uplink, of both families, under which the outside may know the host. An IPv6
// address that is not yet usable is none.
func (u Uplink) Addresses() ([]netip.Addr, error) {
	l, err := netlink.LinkByIndex(u.Index)
	if err != nil {
		return nil, fmt.Errorf("find uplink %s: %w", u.Name, err)
	}
	list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of uplink %s: %w", u.Name, err)
	}
	var out []netip.Addr
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap().IsGlobalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			out = append(out, ip.Unmap())
		}
	}
	return out, nil
}
