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
	TableName   = "oakestra"
	chainName   = "postrouting"
	filterChain = "forward"
)

// Config is what the table has to say.
type Config struct {
	// Subnets are the worker's own, of both families.
	Subnets []netip.Prefix
	// Overlay are the ranges that are never masqueraded: worker subnets, service and Instance IPs.
	Overlay []netip.Prefix
	// TunnelPort is the overlay's UDP port. Masqueraded flows from a port of that number get another.
	TunnelPort uint16
}

// Ensure makes the table say c. A table that already does is left alone; another is replaced in one transaction. Flows that
// are already masqueraded keep their mapping either way.
func Ensure(c Config) error {
	rules, filters := c.rules(), c.filters()
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	mark := userdata.AppendString(nil, userdata.TypeComment, fmt.Sprintf("oakestra %x", c.digest()))
	if present(conn, chainName, len(rules), mark) && present(conn, filterChain, len(filters), mark) {
		return nil
	}
	t := conn.AddTable(&nftables.Table{Name: TableName, Family: nftables.TableFamilyINet})
	conn.DelTable(t)
	t = conn.AddTable(&nftables.Table{Name: TableName, Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{
		Name: chainName, Table: t, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	for _, exprs := range rules {
		conn.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs, UserData: mark})
	}
	filter := conn.AddChain(&nftables.Chain{
		Name: filterChain, Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	for _, exprs := range filters {
		conn.AddRule(&nftables.Rule{Table: t, Chain: filter, Exprs: exprs, UserData: mark})
	}
	if err := conn.Flush(); err != nil {
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
	conn.DelTable(&nftables.Table{Name: TableName, Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete nftables table %s: %w", TableName, err)
	}
	return nil
}

// present reports whether a chain of the kernel's table carries the mark in each of so many rules. Any doubt is a no.
func present(conn *nftables.Conn, chain string, rules int, mark []byte) bool {
	t := &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
	have, err := conn.GetRules(t, &nftables.Chain{Name: chain, Table: t})
	if err != nil || len(have) != rules {
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
	sum := sha256.Sum256(fmt.Appendf(nil, "v2 %v %v %d", c.Subnets, c.Overlay, c.TunnelPort))
	return sum[:8]
}
