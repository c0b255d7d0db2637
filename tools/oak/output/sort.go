// SPDX-License-Identifier: Apache-2.0

package output

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrColumn is wrapped by the error of [Sort] for a column that there is not.
var ErrColumn = errors.New("unknown column")

// Sort sorts rows by columns, which are separated by commas, the first first; a - before a name turns its order round. Rows that are the
// same in all of them keep their order. Capitals are not needed, and wide columns serve in a plain table too.
func Sort[T any](rows []T, columns []Column[T], by string) error {
	var order []func(a, b T) int
	for name := range strings.SplitSeq(by, ",") {
		bare, down := strings.CutPrefix(strings.TrimSpace(name), "-")
		i := slices.IndexFunc(columns, func(c Column[T]) bool { return strings.EqualFold(c.Name, bare) })
		if i < 0 {
			return fmt.Errorf("%w %q: choose of %s", ErrColumn, bare, strings.Join(Names(columns), ", "))
		}
		compare := columns[i].compare
		if down {
			compare = func(a, b T) int { return columns[i].compare(b, a) }
		}
		order = append(order, compare)
	}
	slices.SortStableFunc(rows, func(a, b T) int {
		for _, compare := range order {
			if c := compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	return nil
}

// Names lists the names of columns as a person types them.
func Names[T any](columns []Column[T]) []string {
	var names []string
	for _, c := range columns {
		names = append(names, strings.ToLower(c.Name))
	}
	return names
}

// compare orders by what is shown unless the column knows better: numbers and addresses by their value, all else as text.
func (c Column[T]) compare(a, b T) int {
	if c.By != nil {
		return cmp.Compare(c.By(a), c.By(b))
	}
	left, right := c.Value(a), c.Value(b)
	x, errX := strconv.ParseFloat(left, 64)
	y, errY := strconv.ParseFloat(right, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	if p, ok := addrPort(left); ok {
		if q, ok := addrPort(right); ok {
			return p.Compare(q)
		}
	}
	return strings.Compare(left, right)
}

// addrPort reads an address with or without a port.
func addrPort(s string) (netip.AddrPort, bool) {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p, true
	}
	a, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(a, 0), err == nil
}
