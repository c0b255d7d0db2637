// SPDX-License-Identifier: Apache-2.0

package device

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const conf6 = "/proc/sys/net/ipv6/conf"

// MinMTUIPv6 is the least MTU of a device on which the kernel speaks IPv6 (RFC 8200).
const MinMTUIPv6 = 1280

// HasIPv6 reports whether the kernel speaks IPv6 at all.
func HasIPv6() bool {
	_, err := os.Stat(filepath.Join(conf6, "all"))
	return err == nil
}

// QuietIPv6 turns IPv6 on on one device, as something that only speaks when spoken to: it makes no address of its own, asks for no
// router and believes none, and looks for no duplicate of an address, since addresses are given by the cluster. The device's MTU has
// to be one that IPv6 takes, or the kernel knows nothing of IPv6 on it. A kernel without IPv6 needs nothing.
func QuietIPv6(name string) error {
	if !HasIPv6() {
		return nil
	}
	quiet := []struct{ key, value string }{
		{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"autoconf", "0"}, {"accept_dad", "0"}, {"disable_ipv6", "0"},
	}
	mode, err := os.ReadFile(filepath.Join(conf6, name, quiet[0].key))
	if err != nil {
		return fmt.Errorf("read sysctl: %w", err)
	}
	if string(bytes.TrimSpace(mode)) != quiet[0].value {
		// What it has given itself so far goes.
		if err := DisableIPv6(name); err != nil {
			return err
		}
	}
	for _, s := range quiet {
		if err := setSysctl(s.value, "ipv6", "conf", name, s.key); err != nil {
			return err
		}
	}
	return nil
}

// forceForwarding came with Linux 6.17. Before that IPv6 knows forwarding for the whole host only.
const forceForwarding = "force_forwarding"

// EnableForwardingIPv6 lets IPv6 packets that arrive on one device be routed to another, where the kernel can say so of one device.
// Elsewhere it needs [RouteIPv6], and this does nothing.
func EnableForwardingIPv6(name string) error {
	err := setSysctl("1", "ipv6", "conf", name, forceForwarding)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// RouteIPv6 lets IPv6 packets be routed between an uplink and the devices of [EnableForwardingIPv6]. Kernels before 6.17 can only make
// the whole host a router. A router hears no router advertisements unless told to: devices that live by them are told first, or
// the host would lose its default route.
func RouteIPv6(uplink string) error {
	if !HasIPv6() {
		return nil
	}
	err := setSysctl("1", "ipv6", "conf", uplink, forceForwarding)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return routeAllIPv6()
}

func routeAllIPv6() error {
	if v, err := os.ReadFile(filepath.Join(conf6, "all", "forwarding")); err == nil && string(bytes.TrimSpace(v)) == "1" {
		return nil // whoever has set it has decided about advertisements too
	}
	devices, err := os.ReadDir(conf6)
	if err != nil {
		return fmt.Errorf("list devices that speak IPv6: %w", err)
	}
	for _, d := range devices {
		v, err := os.ReadFile(filepath.Join(conf6, d.Name(), "accept_ra"))
		if err != nil || string(bytes.TrimSpace(v)) != "1" {
			continue // gone since, or decided already
		}
		if err := setSysctl("2", "ipv6", "conf", d.Name(), "accept_ra"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return setSysctl("1", "ipv6", "conf", "all", "forwarding")
}
