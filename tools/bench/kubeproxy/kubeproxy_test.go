// SPDX-License-Identifier: Apache-2.0

package kubeproxy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var network = Network{Pods: netip.MustParsePrefix("10.244.0.0/16"), Own: netip.MustParsePrefix("10.244.1.0/24")}

func few() []Service {
	return Filler(3, 2, netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.244.2.1"))
}

func TestFillersOverlapNowhere(t *testing.T) {
	seen := map[netip.AddrPort]bool{}
	for _, s := range Filler(300, 10, netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.244.2.1")) {
		require.Len(t, s.Endpoints, 10)
		for _, a := range append(s.Endpoints, s.Address) {
			require.False(t, seen[a], "%s", a)
			seen[a] = true
		}
	}
}

// Every chain that is gone to is there, before it is gone to where a transaction needs that, and no name stands for two.
func TestNFTNamesChainsThatAreThere(t *testing.T) {
	rules := NFT(network, few())
	defined := map[string]bool{}
	used := 0
	for _, m := range regexp.MustCompile(`(chain|goto) (\S+?)[ ,]`).FindAllStringSubmatch(rules, -1) {
		if m[1] == "chain" {
			require.False(t, defined[m[2]] && strings.Contains(m[2], "fill"), "%s twice", m[2])
			defined[m[2]] = true
			continue
		}
		used++
		require.True(t, defined[m[2]], "%s is not there", m[2])
	}
	require.Equal(t, 3+3*2, used)
	require.Contains(t, rules, "numgen random mod 2 vmap { 0 : goto endpoint-")
	require.Contains(t, rules, "10.96.0.1 . tcp . 80 : goto service-")
	require.Contains(t, rules, "dnat to 10.244.2.6:8080")
	require.Contains(t, rules, "ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return")
}

func TestIPTablesSpreadsEvenly(t *testing.T) {
	s := Filler(1, 3, netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.244.2.1"))
	rules := IPTables(network, s)
	var chances []string
	for _, m := range regexp.MustCompile(`--probability (\S+)`).FindAllStringSubmatch(rules, -1) {
		chances = append(chances, m[1])
	}
	require.Equal(t, []string{"0.3333333333", "0.5000000000"}, chances, "and the last takes what is left")
	for _, m := range regexp.MustCompile(`-j (KUBE-S\S+)`).FindAllStringSubmatch(rules, -1) {
		require.Contains(t, rules, fmt.Sprintf(":%s - [0:0]", m[1]))
	}
	require.Equal(t, 2, strings.Count(rules, "COMMIT\n"))
}

func TestServicesAreFoundHalfWay(t *testing.T) {
	all := Among(few(), []Service{{Name: "a"}})
	require.Equal(t, 1, slices.IndexFunc(all, func(s Service) bool { return s.Name == "a" }))
	require.Len(t, all, 4)
}

func TestAChangeNamesOnlyItsService(t *testing.T) {
	s := few()[1]
	s.Endpoints = append(s.Endpoints, netip.MustParseAddrPort("10.244.9.9:8080"))
	for _, change := range []string{NFTChange(network, s), IPTablesChange(network, s)} {
		require.Contains(t, change, "10.244.9.9")
		require.NotContains(t, change, "10.96.0.1")
		require.Contains(t, change, "10.96.0.2")
	}
}
