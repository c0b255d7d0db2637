// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// cutTable is the nftables table, in the bridge's namespace, that keeps from the bridge what cuts lose and delays carry.
const cutTable = "oak-testbed-cut"

// Cut is a broken connection: between A and B both ways, or between A and everything when B is empty. Packets are lost
// silently; links stay up.
type Cut struct {
	A string `json:"a"`
	B string `json:"b,omitempty"`
	// OneWay says that only what A sends to B is lost.
	OneWay bool `json:"one_way,omitempty"`
}

// Between reports whether the cut is one between these two, whichever comes first.
func (c Cut) Between(a, b string) bool { return (c.A == a && c.B == b) || (c.A == b && c.B == a) }

// ApplyFaults makes cuts and delays those that there are, in one step: what is not named is healed. Frames of a delayed pair are
// kept from the bridge; [OpenPath] carries them.
func ApplyFaults(ctx context.Context, cuts []Cut, delays []Delay) error {
	return In(hub, func() error {
		cmd := exec.CommandContext(ctx, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(ruleset(cuts, delays))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apply faults with nft: %w: %s", err, strings.TrimSpace(out.String()))
		}
		return nil
	})
}

// ruleset returns the nftables script that replaces the table of cuts.
func ruleset(cuts []Cut, delays []Delay) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table bridge %s {}\ndelete table bridge %s\n", cutTable, cutTable)
	fmt.Fprintf(&b, "table bridge %s {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n", cutTable)
	for _, c := range cuts {
		if c.B == "" {
			fmt.Fprintf(&b, "\t\tiifname %q drop\n\t\toifname %q drop\n", c.A, c.A)
			continue
		}
		fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", c.A, c.B)
		if !c.OneWay {
			fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", c.B, c.A)
		}
	}
	for _, d := range delays {
		fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", d.A, d.B)
		fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", d.B, d.A)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}
