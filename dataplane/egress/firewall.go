// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/netip"
	"slices"
	"sync"
)

// Firewall keeps the table in step with two who each know a part of what it has to say. Nothing is written before the first has
// spoken. Its methods may be used concurrently.
type Firewall struct {
	mu         sync.Mutex
	config     Config
	configured bool
}

// Configure says which networks are the worker's. Called again with the same, it puts back what others have changed of the table.
func (f *Firewall) Configure(subnets, overlay []netip.Prefix, tunnelPort uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config.Subnets, f.config.Overlay, f.config.TunnelPort = subnets, overlay, tunnelPort
	f.configured = true
	return Ensure(f.config)
}

// Expose says which ports are exposed on which of the host's own addresses. The same again costs nothing: who keeps the table as it
// has to be is Configure.
func (f *Firewall) Expose(own []netip.Addr, list []Redirect) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(f.config.Own, own) && slices.Equal(f.config.Exposed, list) {
		return nil
	}
	f.config.Own, f.config.Exposed = own, list
	if !f.configured {
		return nil
	}
	return Ensure(f.config)
}
