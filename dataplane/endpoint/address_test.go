// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

func TestAllocateGivesEveryAddressOnce(t *testing.T) {
	other := map[family]netip.Prefix{v4: netip.MustParsePrefix("fc00::/120"), v6: netip.MustParsePrefix("10.18.0.0/26")}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]family{v4, v6}).Draw(t, "family")
		host, last := rapid.IntRange(0, 8).Draw(t, "host bits"), rapid.Byte().Draw(t, "last")
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 18, 3, last}), 32-host).Masked()
		special := 3 // network, gateway, broadcast
		if f == v6 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc, 15: last}), 128-host).Masked()
			special = 2
			if host < 2 {
				special-- // too small to have a gateway
			}
		}
		used := map[netip.Addr]bool{}
		for {
			a, err := allocate([]netip.Prefix{other[f], p}, f, func(a netip.Addr) bool { return used[a] }, nil, time.Now())
			if err != nil {
				if want := max(1<<host-special, 0); len(used) != want {
					t.Fatalf("%s: gave %d addresses, want %d", p, len(used), want)
				}
				return
			}
			if used[a] || !p.Contains(a) || a == p.Addr() || a == device.Gateway(p) || f == v4 && !p.Contains(a.Next()) {
				t.Fatalf("%s: gave %s", p, a)
			}
			used[a] = true
		}
	})
}

func TestFreedAddressesRest(t *testing.T) {
	now := time.Now()
	p := []netip.Prefix{netip.MustParsePrefix("10.18.0.0/29")} // .2 to .6
	addr := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 18, 0, i}) }
	none := func(netip.Addr) bool { return false }
	resting := []freed{{Address: addr(2), At: now.Add(-time.Minute)}, {Address: addr(3), At: now.Add(-2 * quarantine)}}
	a, err := allocate(p, v4, none, resting, now)
	require.NoError(t, err)
	require.Equal(t, addr(3), a, "it has rested long enough")

	resting = nil
	for i := byte(2); i < 7; i++ {
		resting = append(resting, freed{Address: addr(i), At: now.Add(-time.Duration(i) * time.Minute)})
	}
	a, err = allocate(p, v4, none, resting, now)
	require.NoError(t, err)
	require.Equal(t, addr(6), a, "the one that has rested longest, rather than none")

	_, err = allocate(p, v4, func(netip.Addr) bool { return true }, nil, now)
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "10.18.0.0/29")
}

func TestTags(t *testing.T) {
	seen := map[uint32]bool{}
	for range 100 {
		tag := newTag()
		require.NotZero(t, tag)
		require.Less(t, tag, uint32(1<<24))
		seen[tag] = true
	}
	require.Greater(t, len(seen), 95)
}
