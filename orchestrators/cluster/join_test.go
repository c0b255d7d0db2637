// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
)

func TestCheckRoutes(t *testing.T) {
	leased := []netip.Prefix{netip.MustParsePrefix("10.18.0.0/26")}
	for route, want := range map[string]bool{
		"0.0.0.0/0": true, "::/0": true, "192.168.0.0/16": true, "fe80::/64": true, "fd12::/48": true, "": true, "x": true,
		"10.18.0.0/26": true, "10.30.0.0/16": true, "10.18.0.0/16": true,
		"10.18.0.64/26": false, "10.0.0.0/8": false, "10.30.1.0/24": false, "fdff:1::/32": false, "10.18.0.1/26": true,
	} {
		err := checkRoutes([]string{route}, semantic.DefaultRanges(), leased)
		require.Equal(t, want, err == nil, "%s: %v", route, err)
	}
}

func FuzzCheckRoutes(f *testing.F) {
	f.Add("10.0.0.0/8")
	f.Fuzz(func(_ *testing.T, route string) {
		_ = checkRoutes([]string{route}, semantic.DefaultRanges(), nil)
	})
}
