// SPDX-License-Identifier: Apache-2.0

package coexist

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// Found is what [Ensure] has found.
type Found struct {
	// Places names the chains that hold our rules, each with its owner.
	Places []string
	// Advice says in a person's words what stands in the way and cannot be helped from here.
	Advice []string
}

// Ensure puts the rules into all places that need them and have not got them, and takes them out of those that do not any more, as
// when a policy was changed back. What is right is not touched. Gateways are the addresses at which containers look names up.
func Ensure(gateways ...netip.Addr) (Found, error) {
	var found Found
	conn, err := nftables.New()
	if err != nil {
		return found, fmt.Errorf("open nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return found, fmt.Errorf("list the firewall's chains: %w", err)
	}
	ours, unknown := places(chains)
	var errs []error
	used := map[*nftables.Chain]bool{}
	for _, p := range ours {
		want := p.rules(gateways)
		if len(want) == 0 {
			continue
		}
		used[p.chain] = true
		found.Places = append(found.Places, fmt.Sprintf("%s (%s)", describe(p.chain), p.owner))
		if err := admit(conn, p, want); err != nil {
			errs = append(errs, err)
		}
	}
	for _, c := range chains {
		if isPlace(c) && !used[c] {
			errs = append(errs, remove(conn, c))
		}
	}
	for _, c := range unknown {
		found.Advice = append(found.Advice, advice(c))
	}
	if legacy() {
		found.Advice = append(found.Advice, "there are rules of iptables' old form, which this program does not read: if containers cannot reach "+
			"the outside, run iptables-legacy -I FORWARD -i "+devices+"+ -j ACCEPT, and the same with -o; if they cannot look names up, "+
			"iptables-legacy -I INPUT -i "+devices+"+ -p udp --dport 53 -j ACCEPT, and the same with tcp")
	}
	return found, errors.Join(errs...)
}

// advice says what to do about a chain that is left alone.
func advice(c *nftables.Chain) string {
	if *c.Hooknum == *nftables.ChainHookForward {
		return fmt.Sprintf("nftables chain %s drops what the host forwards: if containers cannot reach the outside, "+
			"accept there what comes from or goes to devices %s*", describe(c), devices)
	}
	return fmt.Sprintf("nftables chain %s drops what comes in: if containers cannot look names up, "+
		"accept there what comes from devices %s* for UDP and TCP port %d", describe(c), devices, namePort)
}

// Remove takes all our rules out.
func Remove() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("list the firewall's chains: %w", err)
	}
	var errs []error
	for _, c := range chains {
		if isPlace(c) {
			errs = append(errs, remove(conn, c))
		}
	}
	return errors.Join(errs...)
}

func describe(c *nftables.Chain) string {
	family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
		nftables.TableFamilyBridge: "bridge", nftables.TableFamilyARP: "arp", nftables.TableFamilyNetdev: "netdev"}[c.Table.Family]
	return fmt.Sprintf("%s %s %s", family, c.Table.Name, c.Name)
}

// admit puts our rules first into a place that has not got them all.
func admit(conn *nftables.Conn, p place, want []rule) error {
	have, comments, err := marked(conn, p.chain)
	if err != nil {
		return err
	}
	if slices.EqualFunc(comments, want, func(c string, w rule) bool { return c == w.comment }) {
		return nil
	}
	for _, r := range have { // some of them is none
		if err := conn.DelRule(r); err != nil {
			return err
		}
	}
	for _, w := range slices.Backward(want) { // each comes before those that are there
		conn.InsertRule(&nftables.Rule{
			Table: p.chain.Table, Chain: p.chain, UserData: userdata.AppendString(nil, userdata.TypeComment, w.comment),
			Exprs: append(w.match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}),
		})
	}
	return flush(conn, p)
}

func flush(conn *nftables.Conn, p place) error {
	err := conn.Flush()
	switch {
	case errors.Is(err, os.ErrPermission) && p.owner == "firewalld":
		return fmt.Errorf("let containers' packets pass: firewalld keeps its table to itself: run firewall-cmd --permanent --zone=trusted "+
			"--add-source=SUBNET with the worker's subnets, and firewall-cmd --reload: %w", err)
	case errors.Is(err, os.ErrNotExist):
		return nil // its owner has just made it anew; the next call sees that
	case err != nil:
		return fmt.Errorf("let containers' packets pass in chain %s of %s: %w", describe(p.chain), p.owner, err)
	}
	return nil
}

func remove(conn *nftables.Conn, c *nftables.Chain) error {
	have, _, err := marked(conn, c)
	if err != nil || len(have) == 0 {
		return err
	}
	for _, r := range have {
		if err := conn.DelRule(r); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("take our rules out of chain %s: %w", describe(c), err)
	}
	return nil
}

// marked returns our rules in a chain, and their comments.
func marked(conn *nftables.Conn, c *nftables.Chain) (ours []*nftables.Rule, comments []string, err error) {
	rules, err := conn.GetRules(c.Table, c)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list rules of chain %s: %w", describe(c), err)
	}
	for _, r := range rules {
		if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok && strings.HasPrefix(text, Mark) {
			ours, comments = append(ours, r), append(comments, strings.TrimRight(text, "\x00"))
		}
	}
	return ours, comments, nil
}

// legacy reports whether the namespace has a filter table of iptables' old form.
func legacy() bool {
	for _, file := range []string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"} {
		if names, err := os.ReadFile(file); err == nil && slices.ContainsFunc(bytes.Fields(names), func(n []byte) bool { return string(n) == "filter" }) {
			return true
		}
	}
	return false
}
