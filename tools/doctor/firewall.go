// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// containers begins the names of the containers' devices.
const containers = "oak-c"

// checkFirewall looks for chains that drop what containers send and get, and into which NetManager puts no rule of its own: those of
// Docker, ufw, firewalld and iptables it opens itself.
func checkFirewall(ctx context.Context, _ *machine, c *collector) {
	conn, err := nftables.New()
	if err != nil {
		c.skip("%v", err)
		return
	}
	chains, err := conn.ListChains()
	switch {
	case denied(err):
		c.skip("%v", err)
		return
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EPROTONOSUPPORT):
		c.found("nftables-missing", nil, "the kernel has no nftables: %v", err)
		return
	case err != nil:
		c.skip("list the firewall's chains: %v", err)
		return
	}
	for _, ch := range chains {
		if !drops(ch) || opened(conn, ch) {
			continue
		}
		name := fmt.Sprintf("%s %s %s", families()[ch.Table.Family], ch.Table.Name, ch.Name)
		if *ch.Hooknum == *nftables.ChainHookForward {
			c.found("firewall-forward", fill{"chain", name}, "the nftables chain %s drops what the host forwards", name)
		} else {
			c.found("firewall-input", fill{"chain", name}, "the nftables chain %s drops what comes in", name)
		}
	}
	legacy(ctx, c)
	c.note("%d nftables chains, none of which stands in the way", len(chains))
}

func families() map[nftables.TableFamily]string {
	return map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}
}

// drops reports whether a chain drops by its policy what is forwarded, or comes in, and belongs to nobody whom NetManager knows.
func drops(c *nftables.Chain) bool {
	if c.Hooknum == nil || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop || c.Type != nftables.ChainTypeFilter || families()[c.Table.Family] == "" {
		return false
	}
	if *c.Hooknum != *nftables.ChainHookForward && *c.Hooknum != *nftables.ChainHookInput {
		return false
	}
	iptables := c.Table.Name == "filter" && (c.Name == "FORWARD" || c.Name == "INPUT") && c.Table.Family != nftables.TableFamilyINet
	return !iptables && !slices.Contains([]string{"oakestra", "firewalld"}, c.Table.Name)
}

// opened reports whether a rule of the chain names the containers' devices: then somebody has seen to them.
func opened(conn *nftables.Conn, c *nftables.Chain) bool {
	rules, err := conn.GetRules(c.Table, c)
	if err != nil {
		return true // it is not seen: say nothing
	}
	return slices.ContainsFunc(rules, func(r *nftables.Rule) bool {
		return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
			cmp, ok := e.(*expr.Cmp)
			return ok && bytes.HasPrefix(cmp.Data, []byte(containers))
		})
	})
}

// legacy looks at rules of iptables' old form, which the kernel keeps apart and NetManager does not read.
func legacy(ctx context.Context, c *collector) {
	for _, family := range []struct{ file, program string }{{"ip_tables_names", "iptables-legacy"}, {"ip6_tables_names", "ip6tables-legacy"}} {
		names, err := os.ReadFile("/proc/thread-self/net/" + family.file)
		if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
			continue
		}
		rules, err := exec.CommandContext(ctx, family.program, "-w", "1", "-S", "FORWARD").Output() //nolint:gosec // of two names
		if err == nil && bytes.Contains(rules, []byte("-P FORWARD DROP")) && !bytes.Contains(rules, []byte(containers)) {
			c.found("firewall-legacy", fill{"program", family.program}, "rules of iptables' old form drop what the host forwards (%s)", family.program)
		}
	}
}
