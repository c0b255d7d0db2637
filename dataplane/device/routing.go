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

// Routing is what the kernel says of routing, by the sysctl's path below net, such as ipv4/conf/eth0/forwarding.
type Routing map[string]string

// RoutingOf returns all that [EnableForwarding] and [RouteIPv6] of an uplink may change.
func RoutingOf(uplink string) Routing {
	r := Routing{}
	note := func(key ...string) bool {
		text, err := os.ReadFile(filepath.Join(append([]string{"/proc/sys/net"}, key...)...))
		if err == nil {
			r[strings.Join(key, "/")] = string(bytes.TrimSpace(text))
		}
		return err == nil
	}
	note("ipv4", "conf", uplink, "forwarding")
	if !HasIPv6() || note("ipv6", "conf", uplink, forceForwarding) {
		return r
	}
	note("ipv6", "conf", "all", "forwarding")
	devices, err := os.ReadDir(conf6)
	if err != nil {
		return r
	}
	for _, d := range devices {
		note("ipv6", "conf", d.Name(), "accept_ra")
	}
	return r
}

// Add adds what is not known yet, and reports whether there was anything.
func (r Routing) Add(more Routing) (added bool) {
	for key, value := range more {
		if _, known := r[key]; !known {
			r[key], added = value, true
		}
	}
	return added
}

// Restore gives the sysctls their values again. Devices that are gone are none of its business.
func (r Routing) Restore() error {
	var errs []error
	// What is said of all devices is written through to each: it comes first.
	for _, all := range []bool{true, false} {
		for key, value := range r {
			if strings.HasPrefix(key, "ipv6/conf/all/") != all || strings.Contains(key, "..") {
				continue
			}
			if err := setSysctl(value, strings.Split(key, "/")...); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("restore %s: %w", key, err))
			}
		}
	}
	return errors.Join(errs...)
}
