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

func TestDNSNameForms(t *testing.T) {
	for s, want := range map[string]semantic.DNSName{
		"web.prod.shop.acme.oak":               {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyRoundRobin},
		"Web.Prod.SHOP.acme.OAK":               {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyRoundRobin},
		"Closest.web.prod.shop.acme.oak":       {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyClosest},
		"underutilized.web.prod.shop.acme.oak": {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyUnderutilized},
		"12.web.prod.shop.acme.oak":            {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyInstance, Number: 12},
		"0.web.prod.shop.acme.oak":             {Service: "web", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyInstance},
		// A service may be called like a policy or a number: how many parts there are decides.
		"closest.prod.shop.acme.oak": {Service: "closest", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyRoundRobin},
		"3.7.prod.shop.acme.oak":     {Service: "7", ServiceNS: "prod", App: "shop", AppNS: "acme", Policy: wire.PolicyInstance, Number: 3},
	} {
		got, err := semantic.ParseDNSName(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
		assert.Equal(t, strings.ToLower(s), got.String())
	}
	for _, bad := range []string{
		"", "oak", ".oak", "web.oak", "web.prod.shop.acme", "web.prod.shop.acme.oak.", "web..shop.acme.oak", "a-b.prod.shop.acme.oak",
		"random.web.prod.shop.acme.oak", "00.web.prod.shop.acme.oak", "-1.web.prod.shop.acme.oak", "+1.web.prod.shop.acme.oak",
		"2147483648.web.prod.shop.acme.oak", "1.1.web.prod.shop.acme.oak", `web\.prod.shop.acme.x.oak`,
		strings.Repeat("a", 31) + ".prod.shop.acme.oak", strings.Repeat("a.", 4000) + "oak",
	} {
		_, err := semantic.ParseDNSName(bad)
		assert.ErrorIs(t, err, semantic.ErrDNSName, bad)
	}
}

func TestDNSNameOfAJob(t *testing.T) {
	n, err := semantic.DNSNameOf(semantic.JobName("Shop", "acme", "Web", "prod"))
	require.NoError(t, err)
	assert.Equal(t, "web.prod.shop.acme.oak", n.String())
	n.Policy, n.Number = wire.PolicyInstance, 4
	assert.Equal(t, "4.web.prod.shop.acme.oak", n.String())
	assert.Equal(t, "web.prod.shop.acme.oak", n.Base())
	_, err = semantic.DNSNameOf("a.b.c")
	assert.ErrorIs(t, err, semantic.ErrJobName)
}

func TestReverseNames(t *testing.T) {
	for a, want := range map[string]string{
		"10.30.0.7":        "7.0.30.10.in-addr.arpa",
		"::ffff:10.30.0.7": "7.0.30.10.in-addr.arpa",
		"fdff:2000::a1":    "1.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.f.f.d.f.ip6.arpa",
	} {
		addr := netip.MustParseAddr(a)
		assert.Equal(t, want, semantic.ReverseName(addr), a)
		got, ok := semantic.ParseReverseName(strings.ToUpper(want))
		assert.True(t, ok, want)
		assert.Equal(t, addr.Unmap(), got)
	}
	for _, bad := range []string{
		"", ".in-addr.arpa", "in-addr.arpa", "30.10.in-addr.arpa", "07.0.30.10.in-addr.arpa", "256.0.30.10.in-addr.arpa", "x.0.30.10.in-addr.arpa",
		"1.2.3.4.5.in-addr.arpa", "1.ip6.arpa", "g" + strings.Repeat(".0", 31) + ".ip6.arpa", "0" + strings.Repeat("-0", 31) + ".ip6.arpa", "1.2.3.4",
		strings.Repeat("1.", 8) + "f.f.f.f" + strings.Repeat(".0", 20) + ".ip6.arpa", // an IPv4 address has its own
	} {
		_, ok := semantic.ParseReverseName(bad)
		assert.False(t, ok, bad)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "v4") {
			b = b[:4]
		}
		a, _ := netip.AddrFromSlice(b)
		if got, ok := semantic.ParseReverseName(semantic.ReverseName(a)); !ok || got != a.Unmap() {
			t.Fatalf("%s became %s", a, got)
		}
	})
}

// Whatever is asked for, what is understood comes back as it was asked for, in lower case.
func FuzzParseDNSName(f *testing.F) {
	for _, s := range []string{"web.prod.shop.acme.oak", "closest.web.prod.shop.acme.oak", "3.web.prod.shop.acme.oak", "7.0.30.10.in-addr.arpa",
		"1.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.f.f.d.f.ip6.arpa", `\000.b.c.d.oak`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := semantic.ParseDNSName(s)
		if err == nil && (n.String() != strings.ToLower(s) || !strings.HasSuffix(n.String(), n.Base())) {
			t.Fatalf("%q became %q", s, n)
		}
		a, ok := semantic.ParseReverseName(s)
		if ok && (semantic.ReverseName(a) != strings.ToLower(s) || err == nil) {
			t.Fatalf("%q became %s", s, a)
		}
	})
}
