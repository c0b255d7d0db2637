// SPDX-License-Identifier: Apache-2.0

package coexist

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// load has nft write a rule set as its owner would.
func load(t *testing.T, rules string) {
	t.Helper()
	nft(t, rules, "-f", "-")
}

func nft(t *testing.T, in string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs the program nft, of Debian's package nftables, to load other people's rule sets")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// rules lists a chain as nft shows it, each line trimmed, without counters.
func rules(t *testing.T, chain string) (out []string) {
	t.Helper()
	for line := range strings.SplitSeq(nft(t, "", append([]string{"-s", "list", "chain"}, strings.Fields(chain)...)...), "\n") {
		if line = strings.TrimSpace(line); strings.HasSuffix(line, "accept") || strings.Contains(line, "comment") || line == "return" {
			out = append(out, line)
		}
	}
	return out
}

var oursInOrder = []string{
	`oifname "oak-c*" counter accept comment "oakestra: containers"`,
	`iifname "oak-c*" counter accept comment "oakestra: containers"`,
}

// gateways are where containers of the tests look names up.
var gateways = []netip.Addr{netip.MustParseAddr("10.18.0.1"), netip.MustParseAddr("fc00::1")}

// docker is what a daemon of Docker makes of a host that did not forward before: as iptables-nft-save shows it.
const docker = `
table ip filter {
	chain FORWARD { type filter hook forward priority filter; policy drop;
		counter jump DOCKER-USER
		oifname "docker0" ct state established,related counter accept
	}
	chain DOCKER-USER { counter return; }
}
table ip nat {
	chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; }
}`

func TestRulesComeAndGoWithTheNeedForThem(t *testing.T) {
	for name, tc := range map[string]struct {
		rules, chain, owner string
		after               string // a change after which nothing is needed
	}{
		"docker": {docker, "ip filter DOCKER-USER", "Docker", "chain ip filter FORWARD { policy accept; }"},
		"docker over ipv6": {strings.ReplaceAll(docker, "table ip filter", "table ip6 filter"), "ip6 filter DOCKER-USER", "Docker",
			"chain ip6 filter FORWARD { policy accept; }"},
		"ufw": {`table ip filter {
			chain ufw-user-forward { }
			chain FORWARD { type filter hook forward priority filter; policy drop; jump ufw-user-forward; }
		}`, "ip filter ufw-user-forward", "ufw", "chain ip filter FORWARD { policy accept; }"},
		"ufw over ipv6": {`table ip6 filter {
			chain ufw6-user-forward { }
			chain FORWARD { type filter hook forward priority filter; policy drop; jump ufw6-user-forward; }
		}`, "ip6 filter ufw6-user-forward", "ufw", "delete table ip6 filter"},
		"docker and ufw": {`table ip filter {
			chain ufw-user-forward { }
			chain DOCKER-USER { return; }
			chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; jump ufw-user-forward; }
		}`, "ip filter DOCKER-USER", "Docker", "delete table ip filter"},
		"own policy": {`table ip filter {
			chain FORWARD { type filter hook forward priority filter; policy drop; }
		}`, "ip filter FORWARD", "iptables", "chain ip filter FORWARD { policy accept; }"},
		"firewalld": {`table inet firewalld {
			chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; reject with icmpx type admin-prohibited; }
		}`, "inet firewalld filter_FORWARD", "firewalld", "delete table inet firewalld"},
	} {
		t.Run(name, func(t *testing.T) {
			netnstest.Enter(t)
			load(t, tc.rules)
			for range 2 {
				found, err := Ensure()
				require.NoError(t, err)
				require.Equal(t, []string{tc.chain + " (" + tc.owner + ")"}, found.Places)
				require.Empty(t, found.Advice)
				require.Equal(t, oursInOrder, rules(t, tc.chain)[:2])
				require.Equal(t, 2, strings.Count(nft(t, "", "list", "ruleset"), Mark), "nowhere else, and once")
			}
			load(t, "flush chain "+tc.chain) // its owner loads it anew
			_, err := Ensure()
			require.NoError(t, err)
			require.Equal(t, oursInOrder, rules(t, tc.chain)[:2])

			load(t, tc.after)
			found, err := Ensure()
			require.NoError(t, err)
			require.Empty(t, found.Places)
			require.NotContains(t, nft(t, "", "list", "ruleset"), Mark)
		})
	}
}

func TestHalfOfTheRulesIsMadeWhole(t *testing.T) {
	netnstest.Enter(t)
	load(t, docker)
	_, err := Ensure()
	require.NoError(t, err)
	conn, err := nftables.New()
	require.NoError(t, err)
	table := &nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4}
	have, err := conn.GetRules(table, &nftables.Chain{Name: "DOCKER-USER", Table: table})
	require.NoError(t, err)
	require.NoError(t, conn.DelRule(have[0]))
	require.NoError(t, conn.Flush())
	_, err = Ensure()
	require.NoError(t, err)
	require.Equal(t, oursInOrder, rules(t, "ip filter DOCKER-USER")[:2])
	require.NoError(t, Remove())
	require.NoError(t, Remove())
	require.NotContains(t, nft(t, "", "list", "ruleset"), Mark)
}

func TestWhatHasNoPlaceIsNamed(t *testing.T) {
	netnstest.Enter(t)
	found, err := Ensure()
	require.NoError(t, err)
	require.Empty(t, found)
	load(t, `
		table inet mine {
			chain through { type filter hook forward priority filter; policy drop; }
		}
		table inet oakestra {
			chain forward { type filter hook forward priority filter; policy drop; }
		}
		table inet filter {
			chain input { type filter hook input priority filter; policy drop; }
		}
		table ip filter {
			chain INPUT { type filter hook input priority filter; policy drop; }
		}`)
	found, err = Ensure()
	require.NoError(t, err)
	require.Empty(t, found.Places, "nobody looks names up yet")
	require.Len(t, found.Advice, 2)
	require.Contains(t, found.Advice[0], "inet mine through drops what the host forwards")
	require.Contains(t, found.Advice[1], "inet filter input drops what comes in")
}

// TestIptablesReadsItsTableStill: Docker works with that program, which refuses a table whose rules it does not know.
func TestIptablesReadsItsTableStill(t *testing.T) {
	path, err := exec.LookPath("iptables-nft")
	if err != nil {
		t.Skip("needs the program iptables-nft, of Debian's package iptables")
	}
	netnstest.Enter(t)
	run := func(args ...string) string {
		out, err := exec.Command(path, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	for _, line := range []string{"-P FORWARD DROP", "-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-USER"} {
		run(strings.Fields(line)...)
	}
	_, err = Ensure()
	require.NoError(t, err)
	require.Equal(t, strings.Join([]string{"-N DOCKER-USER",
		`-A DOCKER-USER -o oak-c+ -m comment --comment "oakestra: containers" -j ACCEPT`,
		`-A DOCKER-USER -i oak-c+ -m comment --comment "oakestra: containers" -j ACCEPT`,
		"-A DOCKER-USER -j RETURN", ""}, "\n"), run("-S", "DOCKER-USER"))
	run("-I", "DOCKER-USER", "-s", "192.0.2.9", "-j", "DROP") // an administrator's, later
	_, err = Ensure()
	require.NoError(t, err)
	require.Contains(t, run("-S", "DOCKER-USER"), "-N DOCKER-USER\n-A DOCKER-USER -s 192.0.2.9/32 -j DROP\n", "and before ours")
	run("-F", "DOCKER-USER")
}
