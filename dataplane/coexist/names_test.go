// SPDX-License-Identifier: Apache-2.0

package coexist

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// lookups are the rules for names in a chain of one family.
func lookups(address, gateway string) (out []string) {
	for _, protocol := range []string{"udp", "tcp"} {
		out = append(out, address+` `+gateway+` iifname "oak-c*" `+protocol+` dport 53 counter accept comment "oakestra: names at `+gateway+`"`)
	}
	return out
}

func TestLookupsOfNamesAreLetIn(t *testing.T) {
	v4, v6 := lookups("ip daddr", "10.18.0.1"), lookups("ip6 daddr", "fc00::1")
	for name, tc := range map[string]struct {
		rules, chain, owner, after string
		want                       []string
	}{
		"ufw": {`table ip filter {
			chain ufw-user-input { }
			chain INPUT { type filter hook input priority filter; policy drop; jump ufw-user-input; }
		}`, "ip filter ufw-user-input", "ufw", "chain ip filter INPUT { policy accept; }", v4},
		"ufw over ipv6": {`table ip6 filter {
			chain ufw6-user-input { }
			chain INPUT { type filter hook input priority filter; policy drop; jump ufw6-user-input; }
		}`, "ip6 filter ufw6-user-input", "ufw", "delete table ip6 filter", v6},
		"own policy": {`table ip filter {
			chain INPUT { type filter hook input priority filter; policy drop; }
		}`, "ip filter INPUT", "iptables", "chain ip filter INPUT { policy accept; }", v4},
		"firewalld": {`table inet firewalld {
			chain filter_INPUT { type filter hook input priority filter + 10; policy accept; reject with icmpx type admin-prohibited; }
		}`, "inet firewalld filter_INPUT", "firewalld", "delete table inet firewalld", append(v4, v6...)},
	} {
		t.Run(name, func(t *testing.T) {
			netnstest.Enter(t)
			load(t, tc.rules)
			for range 2 {
				found, err := Ensure(gateways...)
				require.NoError(t, err)
				require.Equal(t, []string{tc.chain + " (" + tc.owner + ")"}, found.Places)
				require.Empty(t, found.Advice)
				require.Equal(t, tc.want, rules(t, tc.chain))
			}
			_, err := Ensure(gateways[0].Next(), gateways[1].Next())
			require.NoError(t, err)
			moved := nft(t, "", "list", "ruleset")
			require.Equal(t, len(tc.want), strings.Count(moved, Mark), "another gateway takes the place of the first")
			require.Equal(t, len(tc.want), strings.Count(moved, "oakestra: names at 10.18.0.2")+strings.Count(moved, "oakestra: names at fc00::2"))

			load(t, tc.after)
			found, err := Ensure(gateways...)
			require.NoError(t, err)
			require.Empty(t, found.Places)
			require.NotContains(t, nft(t, "", "list", "ruleset"), Mark)
		})
	}
}

// TestIptablesReadsItsInputStill: ufw works with that program.
func TestIptablesReadsItsInputStill(t *testing.T) {
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
	for _, line := range []string{"-P INPUT DROP", "-A INPUT -i lo -j ACCEPT"} {
		run(strings.Fields(line)...)
	}
	_, err = Ensure(gateways...)
	require.NoError(t, err)
	require.Equal(t, strings.Join([]string{"-P INPUT DROP",
		`-A INPUT -d 10.18.0.1/32 -i oak-c+ -p udp -m udp --dport 53 -m comment --comment "oakestra: names at 10.18.0.1" -j ACCEPT`,
		`-A INPUT -d 10.18.0.1/32 -i oak-c+ -p tcp -m tcp --dport 53 -m comment --comment "oakestra: names at 10.18.0.1" -j ACCEPT`,
		"-A INPUT -i lo -j ACCEPT", ""}, "\n"), run("-S", "INPUT"))
	require.NoError(t, Remove())
	require.Equal(t, "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n", run("-S", "INPUT"))
}
