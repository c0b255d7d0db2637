// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
)

// Names of what Ensure makes.
const (
	TableName    = "oakestra"
	chainName    = "postrouting"
	filterChain  = "forward"
	outputChain  = "output"
	exposedChain = "exposed"
)

// Config is what the table has to say.
type Config struct {
	// Subnets are the worker's own, of both families.
	Subnets []netip.Prefix
	// Overlay are the ranges that are never masqueraded: worker subnets, service and Instance IPs.
	Overlay []netip.Prefix
	// TunnelPort is the overlay's UDP port. No masqueraded flow gets it.
	TunnelPort uint16
	// Own are the host's own addresses on which ports are exposed.
	Own []netip.Addr
	// Exposed are those ports. No masqueraded flow gets one of them.
	Exposed []Redirect
}

// Redirect leads processes of the host to an instance.
type Redirect struct {
	// Protocol is the IP protocol's number, Port that of the host.
	Protocol byte
	Port     uint16
	// To is the instance's namespace address, in the family that the redirection is for, and its port.
	To netip.AddrPort
}

func tableOf() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}

// chains returns the whole table. A chain that others jump to comes before them.
func (c Config) chains() []chain {
	return []chain{
		{name: exposedChain, rules: c.redirects()},
		{name: outputChain, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookOutput,
			priority: nftables.ChainPriorityNATDest, rules: c.outputs()},
		{name: chainName, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting,
			priority: nftables.ChainPriorityNATSource, rules: c.masquerades()},
		{name: filterChain, kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward,
			priority: nftables.ChainPriorityFilter, rules: c.filters()},
	}
}

// Ensure makes the table say c. A table that already does is left alone; another is replaced in one transaction. Flows that
// are already translated keep their mapping either way.
func Ensure(c Config) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains := c.chains()
	mark := userdata.AppendString(nil, userdata.TypeComment, fmt.Sprintf("oakestra %x", c.digest()))
	if !slices.ContainsFunc(chains, func(ch chain) bool { return !present(conn, ch, mark) }) {
		return nil
	}
	if err := replace(chains, mark); err != nil {
		return fmt.Errorf("write nftables table %s: %w (does the kernel have nf_tables with masquerading?)", TableName, err)
	}
	return nil
}

// Remove deletes the table; that there is none is no error.
func Remove() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	conn.DelTable(tableOf())
	if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete nftables table %s: %w", TableName, err)
	}
	return nil
}

// present reports whether a chain of the kernel's table carries the mark in each of its rules. Any doubt is a no.
func present(conn *nftables.Conn, ch chain, mark []byte) bool {
	t := tableOf()
	have, err := conn.GetRules(t, &nftables.Chain{Name: ch.name, Table: t})
	if err != nil || len(have) != len(ch.rules) {
		return false
	}
	for _, r := range have {
		if !slices.Equal(r.UserData, mark) {
			return false
		}
	}
	return true
}

// digest changes whenever the rules would.
func (c Config) digest() []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "v3 %v %v %d %v %v", c.Subnets, c.Overlay, c.TunnelPort, c.Own, c.Exposed))
	return sum[:8]
}
