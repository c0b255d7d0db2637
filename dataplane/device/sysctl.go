// SPDX-License-Identifier: Apache-2.0

package device

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DisableIPv6 turns IPv6 off on one device. A kernel without IPv6 needs nothing.
func DisableIPv6(name string) error {
	err := setSysctl("1", "ipv6", "conf", name, "disable_ipv6")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// EnableForwarding lets IPv4 packets that arrive on one device be routed to another. It is set for the devices that need it, not for
// the whole host: a worker does not become a router of its other networks.
func EnableForwarding(name string) error { return setSysctl("1", "ipv4", "conf", name, "forwarding") }

// LooseReversePath accepts packets on a device whose sources the host would route elsewhere, if the host is set to strict.
func LooseReversePath(name string) error { return setSysctl("2", "ipv4", "conf", name, "rp_filter") }

// setSysctl writes below /proc/sys/net, which shows the network namespace of the calling thread. A value that is already
// right is not written: some hosts mount /proc/sys read-only after setting it.
func setSysctl(value string, key ...string) error {
	for _, k := range key {
		if strings.ContainsAny(k, "/") || k == ".." {
			return fmt.Errorf("set sysctl: %q is no key", k)
		}
	}
	path := filepath.Join(append([]string{"/proc/sys/net"}, key...)...)
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read sysctl: %w", err)
	}
	if string(bytes.TrimSpace(have)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set sysctl to %s: %w", value, err)
	}
	return nil
}
