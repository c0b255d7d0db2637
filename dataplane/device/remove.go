// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
)

// containers is how the names of containers' devices begin.
const containers = "oak-c"

// Containers returns the names of the devices of containers that are there.
func Containers() (names []string, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, l := range links {
		if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, containers) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// RemoveOwn deletes the worker's own devices; those that are not there are no error.
func RemoveOwn() error {
	for _, name := range []string{Host, Upcall0, Tunnel} { // the far ends go with theirs
		l, err := Find(name)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		if err := netlink.LinkDel(l); err != nil && !IsGone(err) {
			return fmt.Errorf("delete device %s: %w", name, err)
		}
	}
	return nil
}
