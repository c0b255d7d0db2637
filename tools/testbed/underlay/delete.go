// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// Delete removes the machine's link and the namespaces of every host that [Hosts] would name, complete or not. It goes on
// after an error and returns all of them; nothing to delete is none.
func Delete() error {
	var errs []error
	link, err := netlink.LinkByName(machineLink)
	var missing netlink.LinkNotFoundError
	switch {
	case err == nil:
		// The namespace's end goes with this one at once; the kernel takes namespaces apart later, on its own time.
		if err := netlink.LinkDel(link); err != nil {
			errs = append(errs, fmt.Errorf("delete the machine's link %s: %w", machineLink, err))
		}
	case !errors.As(err, &missing):
		errs = append(errs, fmt.Errorf("find the machine's link %s: %w", machineLink, err))
	}
	for _, h := range Hosts() {
		if err := In(hub, func() error { return unplug(h) }); err != nil {
			continue // no bridge: the links go with their namespaces
		}
	}
	paths, err := filepath.Glob(filepath.Join(nsDir, prefix+"*"))
	if err != nil {
		errs = append(errs, err)
	}
	for _, p := range paths {
		if err := deleteNS(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Remove takes one host's link and namespace away; those of others stay.
func Remove(h Host) error {
	if err := In(h.switchOf(), func() error { return unplug(h.Name) }); err != nil {
		return fmt.Errorf("remove the link of host %s: %w", h.Name, err)
	}
	return deleteNS(Path(h.Name))
}

// unplug deletes a host's link, so that the address is free before the kernel gets round to the namespace.
func unplug(host string) error {
	link, err := netlink.LinkByName(host)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}
