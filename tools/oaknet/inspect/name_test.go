// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

func TestPrefixIsInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		if rapid.Bool().Draw(t, "six") {
			addr = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		}
		if !addr.Is4() && (addr.Is4In6() || addr.IsUnspecified()) {
			t.Skip("has no form of its own in the maps")
		}
		want := netip.PrefixFrom(addr, rapid.IntRange(1, addr.BitLen()).Draw(t, "bits")).Masked()
		if want.Addr().IsUnspecified() && want.Addr().Is6() {
			t.Skip("is what stands for none")
		}
		assert.Equal(t, want, prefix(bpf.PrefixFrom(want)))
	})
	assert.False(t, prefix(bpf.Prefix{}).IsValid())
}

func TestNamesOfTheUnknown(t *testing.T) {
	assert.Equal(t, "policy-9", policyName(9))
	assert.Equal(t, "state-9", peerState(9))
	assert.Equal(t, "protocol-132", protocolName(132))
	assert.Equal(t, "4294967295.7", generation(0xffffffff_00000007))
}
