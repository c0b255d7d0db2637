// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"fmt"
	"net/netip"
)

// parseAddr reads an address of the plan.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read a host's address: %w", err)
	}
	return a, nil
}
