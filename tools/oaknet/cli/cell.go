// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

func number[T ~int | ~uint16 | ~uint32 | ~uint64](n T) string { return fmt.Sprint(n) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// age writes seconds as a person reads them: two units at most.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

func ageOrNever(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return age(*seconds)
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

// addresses joins those of both families that there are.
func addresses(of ...netip.Addr) string {
	var out []string
	for _, a := range of {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return strings.Join(out, ",")
}

// text is an address that may be none.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// device names an interface, or gives its number where its name is not known here.
func device(name string, ifindex uint32) string {
	switch {
	case name != "":
		return name
	case ifindex != 0:
		return fmt.Sprintf("#%d", ifindex)
	}
	return ""
}

// index is a number of which 0 means none.
func index(n uint32) string {
	if n == 0 {
		return ""
	}
	return number(n)
}

// identity gives an id, or the index where the record of it is gone.
func identity(id string, index uint32) string {
	switch {
	case id != "":
		return id
	case index != 0:
		return fmt.Sprintf("#%d", index)
	}
	return ""
}

// short writes a quantity in three digits and a power of a thousand.
func short(x float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		switch {
		case x < 9.995 && unit != "":
			return fmt.Sprintf("%.2f%s", x, unit)
		case x < 99.95:
			return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") + unit
		case x < 999.5:
			return fmt.Sprintf("%.0f%s", x, unit)
		}
		x /= 1000
	}
	return fmt.Sprintf("%.1fT", x)
}

func milliseconds(ms *float64) string {
	if ms == nil {
		return ""
	}
	return fmt.Sprintf("%.3gms", *ms)
}
