// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"

	"github.com/oakestra/oakestra-ebpf/dataplane/coexist"
)

// admitContainers lets packets of containers pass the firewalls of others, and tells once what it cannot do there. configuring is
// held.
func (a *Agent) admitContainers() error {
	gateways, _, err := a.nameServers()
	if err != nil {
		return err
	}
	found, err := coexist.Ensure(gateways...)
	if !slices.Equal(found.Advice, a.advised) {
		for _, advice := range found.Advice {
			a.log.Warn("a firewall of this host may keep containers from the outside or from names", "advice", advice)
		}
		a.advised = found.Advice
	}
	return err
}
