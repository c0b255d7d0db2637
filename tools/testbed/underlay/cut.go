// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// cutTable is the nftables table, in the bridge's namespace, that holds the cuts.
const cutTable = "oak-testbed-cut"

// Cut is a broken connection: between A and B both ways, or between A and everything when B is empty. Packets are lost
// silently; links stay up.
type Cut struct {
	A string `json:"a"`
	B string `json:"b,omitempty"`
}

// Same reports whether both are the same cut, whichever end comes first.
func (c Cut) Same(o Cut) bool { return c == o || (c.A == o.B && c.B == o.A) }

// ApplyCuts makes cuts the cuts that there are, in one step: those not named are healed.
func ApplyCuts(ctx context.Context, cuts []Cut) error {
	return In(hub, func() error {
		cmd := exec.CommandContext(ctx, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(ruleset(cuts))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apply cuts with nft: %w: %s", err, strings.TrimSpace(out.String()))
		}
		return nil
	})
}

// ruleset returns the nftables script that replaces the table of cuts.
func ruleset(cuts []Cut) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table bridge %s {}\ndelete table bridge %s\n", cutTable, cutTable)
	fmt.Fprintf(&b, "table bridge %s {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n", cutTable)
	for _, c := range cuts {
		if c.B == "" {
			fmt.Fprintf(&b, "\t\tiifname %q drop\n\t\toifname %q drop\n", c.A, c.A)
			continue
		}
		fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", c.A, c.B)
		fmt.Fprintf(&b, "\t\tiifname %q oifname %q drop\n", c.B, c.A)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}
