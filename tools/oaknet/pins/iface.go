// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"net"

	"github.com/cilium/ebpf/link"
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
