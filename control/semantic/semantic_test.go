// SPDX-License-Identifier: Apache-2.0

package semantic_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestDefaultRangesAreUsable(t *testing.T) {
	require.NoError(t, semantic.CheckRanges(semantic.DefaultRanges()))
}

func TestCheckRangesNamesTheKey(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*wire.Ranges)
		want   string
	}{
		"unset":     {func(r *wire.Ranges) { r.WorkersV6 = netip.Prefix{} }, "workers_v6 is not set"},
		"family":    {func(r *wire.Ranges) { r.WorkersV4 = netip.MustParsePrefix("fc00::/16") }, "workers_v4 is fc00::/16"},
		"host bits": {func(r *wire.Ranges) { r.ServicesV4 = netip.MustParsePrefix("10.30.0.1/16") }, "write 10.30.0.0/16"},
		"too small": {func(r *wire.Ranges) { r.WorkersV4 = netip.MustParsePrefix("10.18.0.0/24") }, "/22 or shorter"},
		"overlap":   {func(r *wire.Ranges) { r.ServicesV4 = netip.MustParsePrefix("10.0.0.0/8") }, "services_v4 10.0.0.0/8 overlaps workers_v4"},
	} {
		t.Run(name, func(t *testing.T) {
			r := semantic.DefaultRanges()
			tc.change(&r)
			err := semantic.CheckRanges(r)
			require.ErrorIs(t, err, semantic.ErrRanges)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestPolicyRangesAreThoseThatUsersKnow(t *testing.T) {
	r := semantic.DefaultRanges()
	for p, want := range map[wire.Policy]string{
		wire.PolicyInstance:      "fdff::/21",
		wire.PolicyClosest:       "fdff:1000::/21",
		wire.PolicyRoundRobin:    "fdff:2000::/21",
		wire.PolicyUnderutilized: "fdff:3000::/21",
	} {
		assert.Equal(t, want, semantic.PolicyPrefixV6(r, p).String(), p)
		assert.Equal(t, want, semantic.PrefixFor(r, p, true).String(), p)
		assert.Equal(t, "10.30.0.0/16", semantic.PrefixFor(r, p, false).String(), p)
	}
	assert.False(t, semantic.PolicyPrefixV6(r, "other").IsValid())

	got, ok := semantic.PolicyOfV6(r, netip.MustParseAddr("fdff:2000::7"))
	assert.True(t, ok)
	assert.Equal(t, wire.PolicyRoundRobin, got)
	for _, none := range []string{"fdff:4000::1", "fdff:2800::1", "fc00::1", "10.30.0.1"} {
		_, ok = semantic.PolicyOfV6(r, netip.MustParseAddr(none))
		assert.False(t, ok, none)
	}
}

func TestContains(t *testing.T) {
	r := semantic.DefaultRanges()
	for addr, want := range map[string][2]bool{
		"10.30.1.2": {true, false}, "fdff:2000::1": {true, false},
		"10.18.0.65": {false, true}, "fc00::101": {false, true},
		"192.168.1.1": {}, "fd00::1": {}, "::ffff:10.30.1.2": {},
	} {
		a := netip.MustParseAddr(addr)
		assert.Equal(t, want[0], semantic.ContainsService(r, a), addr)
		assert.Equal(t, want[1], semantic.ContainsWorker(r, a), addr)
	}
	assert.False(t, semantic.ContainsService(r, netip.Addr{}))
}

func TestSubnetsInOrder(t *testing.T) {
	r := semantic.DefaultRanges()
	for _, tc := range []struct {
		prefix  netip.Prefix
		bits    int
		index   uint32
		want    string
		gateway string
	}{
		{r.WorkersV4, semantic.WorkerBitsV4, 0, "10.18.0.0/26", "10.18.0.1"},
		{r.WorkersV4, semantic.WorkerBitsV4, 5, "10.18.1.64/26", "10.18.1.65"},
		{r.WorkersV4, semantic.WorkerBitsV4, 1023, "10.18.255.192/26", "10.18.255.193"},
		{r.WorkersV6, semantic.WorkerBitsV6, 0, "fc00::/120", "fc00::1"},
		{r.WorkersV6, semantic.WorkerBitsV6, 257, "fc00::1:100/120", "fc00::1:101"},
	} {
		got, ok := semantic.Subnet(tc.prefix, tc.bits, tc.index)
		require.True(t, ok)
		assert.Equal(t, tc.want, got.String())
		assert.Equal(t, tc.gateway, semantic.Gateway(got).String())
	}
	_, ok := semantic.Subnet(r.WorkersV4, semantic.WorkerBitsV4, 1024)
	assert.False(t, ok, "the range holds 1024")
	assert.EqualValues(t, 1024, semantic.SubnetCount(r.WorkersV4, semantic.WorkerBitsV4))
	assert.Zero(t, semantic.SubnetCount(r.WorkersV4, 8))
}

func TestHosts(t *testing.T) {
	small := netip.MustParsePrefix("10.30.0.0/29")
	assert.EqualValues(t, 6, semantic.HostCount(small))
	first, _ := semantic.Host(small, 0)
	last, _ := semantic.Host(small, 5)
	assert.Equal(t, "10.30.0.1", first.String())
	assert.Equal(t, "10.30.0.6", last.String())
	_, ok := semantic.Host(small, 6)
	assert.False(t, ok)
	v6, _ := semantic.Host(netip.MustParsePrefix("fdff:2000::/21"), 255)
	assert.Equal(t, "fdff:2000::100", v6.String())
	assert.Zero(t, semantic.HostCount(netip.MustParsePrefix("10.0.0.0/32")))
}

// TestSubnetsPartitionTheRange: every subnet lies in the range, and no two of different index overlap.
func TestSubnetsPartitionTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix, bits := netip.MustParsePrefix("10.16.0.0/12"), semantic.WorkerBitsV4
		if rapid.Bool().Draw(t, "v6") {
			prefix, bits = netip.MustParsePrefix("fc00::/7"), semantic.WorkerBitsV6
		}
		n := semantic.SubnetCount(prefix, bits)
		i, j := rapid.Uint32Range(0, n-1).Draw(t, "i"), rapid.Uint32Range(0, n-1).Draw(t, "j")
		a, okA := semantic.Subnet(prefix, bits, i)
		b, okB := semantic.Subnet(prefix, bits, j)
		if !okA || !okB {
			t.Fatalf("no subnet %d or %d of %s", i, j, prefix)
		}
		if !prefix.Overlaps(a) || a != a.Masked() || a.Bits() != bits {
			t.Fatalf("%s is no subnet of %s", a, prefix)
		}
		if (i == j) != a.Overlaps(b) || (i < j) != a.Addr().Less(b.Addr()) {
			t.Fatalf("subnets %d %s and %d %s", i, a, j, b)
		}
	})
}

func TestJobName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-zA-Z0-9]{1,30}`)
		in := [4]string{name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c"), name.Draw(t, "d")}
		a, b, c, d, err := semantic.ParseJobName(semantic.JobName(in[0], in[1], in[2], in[3]))
		if err != nil || in != [4]string{a, b, c, d} {
			t.Fatalf("%v became %v: %v", in, [4]string{a, b, c, d}, err)
		}
	})
	for _, bad := range []string{"", "a.b.c", "a.b.c.d.e", "a.b.c.", "a.b.c.d-e", "a.b.c.d\n", strings.Repeat("a.", 4000)} {
		_, _, _, _, err := semantic.ParseJobName(bad)
		assert.ErrorIs(t, err, semantic.ErrJobName, bad)
	}
}

func FuzzParseJobName(f *testing.F) {
	f.Add("app.ns.svc.svcns")
	f.Fuzz(func(t *testing.T, s string) {
		if a, b, c, d, err := semantic.ParseJobName(s); err == nil && semantic.JobName(a, b, c, d) != s {
			t.Fatalf("%q does not come back", s)
		}
	})
}
