// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

// interfaceOf returns the name of an interface that carries the link, or nothing. The number alone would not do: in another network
// namespace it may belong to a stranger.
func interfaceOf(kind string, ifindex int, id link.ID) string {
	here, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: hook(kind)})
	if err != nil {
		return ""
	}
	for _, p := range here.Programs {
		if found, ok := p.LinkID(); ok && found == id {
			if i, err := net.InterfaceByIndex(ifindex); err == nil {
				return i.Name
			}
		}
	}
	return ""
}

// cardOf returns the name of an interface whose card runs the program, and how it does; or nothing.
func cardOf(ifindex int, program ebpf.ProgramID) (name, how string) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil || l.Attrs().Xdp == nil || ebpf.ProgramID(l.Attrs().Xdp.ProgId) != program {
		return "", ""
	}
	if l.Attrs().Xdp.AttachMode == nl.XDP_ATTACHED_SKB {
		return l.Attrs().Name, features.XDPGeneric
	}
	return l.Attrs().Name, features.XDPNative
}
