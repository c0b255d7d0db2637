// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Find returns the device of that name, or nil if there is none.
func Find(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	if IsGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for device %s: %w", name, err)
	}
	return l, nil
}

// IsGone reports whether an error of netlink says that there is no such device.
func IsGone(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}

// SetUp sets the device up, if it is not.
func SetUp(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return fmt.Errorf("find device %d: %w", ifindex, err)
	}
	return setUp(l)
}

func setUp(l netlink.Link) error {
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	err := netlink.LinkSetUp(l)
	if tunnel, ok := l.(*netlink.Vxlan); ok && errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("set %s up: UDP port %d is another program's: stop that program, or choose another port with --tunnel-port: %w", Tunnel, tunnel.Port, err)
	}
	if err != nil {
		return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
	}
	return nil
}
