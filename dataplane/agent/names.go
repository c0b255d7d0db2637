// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/dns"
)

// newNames returns the resolver of the containers' names. It listens once there are gateway addresses.
func (a *Agent) newNames() *dns.Resolver {
	return dns.New(dns.Config{
		Organization: func(ip netip.Addr) (string, bool) {
			e, ok := a.endpoints.At(ip)
			return e.Organization, ok
		},
		Want: func(ip netip.Addr) {
			if o := a.overlay.Load(); o != nil {
				o.routes.Want(ip)
			}
		},
		Publish: a.publish.names, Changed: a.stored.names, ResolvConf: a.cfg.ResolvConf, Log: a.log,
	})
}

// restoreNames has the names of before answered again.
func (a *Agent) restoreNames() {
	var snapshot dns.Snapshot
	found, err := a.state.read(namesFile, &snapshot)
	if err != nil {
		a.log.Warn("cannot read the stored names: asking the cluster for each", "error", err)
	}
	if !found {
		return
	}
	for _, n := range snapshot.Names {
		a.observe(n.Stamp.Epoch)
	}
	a.names.Restore(snapshot)
}

// nameServers returns the addresses at which containers look names up, and the overlay's ranges; none while there is no configuration.
func (a *Agent) nameServers() (at []netip.Addr, ranges wire.Ranges, err error) {
	a.known.Lock()
	node := a.node
	a.known.Unlock()
	if node == nil {
		return nil, ranges, nil
	}
	own, err := gateways(*node, a.mtus().least)
	if err != nil {
		return nil, ranges, fmt.Errorf("stored configuration %s: %w", a.state.path(nodeFile), err)
	}
	at = []netip.Addr{own.IPv4}
	if own.IPv6.IsValid() {
		at = append(at, own.IPv6)
	}
	return at, node.Ranges, nil
}

// listenNames has names answered at the gateway addresses, once they are known. It changes nothing that is right.
func (a *Agent) listenNames(context.Context) error {
	at, ranges, err := a.nameServers()
	if err != nil || at == nil {
		return err
	}
	return a.names.Listen(at, ranges)
}
