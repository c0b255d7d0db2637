// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
)

// Home is the network behind every router: all have the same one, as homes do. Machine is the router's own address in it.
var Home = Family{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParseAddr("192.168.1.1")}

// beRouter makes this namespace, which has its uplink already, a router as homes have them: what is inside leaves with its address, and
// nothing comes in that was not asked for.
func beRouter() error {
	if err := makeBridge(); err != nil {
		return err
	}
	if err := address(bridgeName, Home.Machine, Home.Network.Bits()); err != nil {
		return err
	}
	return Translate("masquerade")
}

// Translate has this namespace, a router's, translate what leaves by a rule of nft's, such as "udp sport 9 masquerade to :10", and all that
// it does not match by "masquerade", and forget what it has translated: as a router that was switched off and on again.
func Translate(rule string) error {
	script := fmt.Sprintf(`table ip home {}
delete table ip home
table ip home {
	chain out { type nat hook postrouting priority srcnat; oifname %[1]q ip saddr %[2]s %[3]s; oifname %[1]q ip saddr %[2]s masquerade; }
	chain in { type filter hook input priority filter; iifname %[1]q meta l4proto { tcp, udp } ct state new drop; }
	chain through { type filter hook forward priority filter; iifname %[1]q ct state new drop; }
}
`, Uplink, Home.Network, rule)
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("have a router translate with nft: %w: %s", err, strings.TrimSpace(out.String()))
	}
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("have a router forget: %w", err)
	}
	return nil
}
