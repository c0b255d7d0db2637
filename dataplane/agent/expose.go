// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/egress"
	"github.com/oakestra/oakestra-ebpf/dataplane/expose"
)

// openExposed goes on with the ports that the stored endpoints have. Nothing is settled before the uplink has been looked for: what
// a NetManager before this one has exposed on its addresses goes on meanwhile.
func (a *Agent) openExposed() error {
	var err error
	a.exposed, err = expose.Open(expose.Config{
		StateFile: a.state.path(portsFile), Endpoints: a.endpoints.List, Own: a.ownAddresses, Blocked: a.blockedPorts,
		Programs: []expose.Programs{expose.Kernel{Maps: a.dp.Maps(), Uplink: a.uplinkIndex}, hostRules{&a.firewall}}, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open the table of exposed ports: %w", err)
	}
	return nil
}

// settleExposed makes exposed ports what the endpoints say. What fails is tried again when the host's part is mended.
func (a *Agent) settleExposed() {
	if err := a.exposed.Settle(); err != nil {
		a.log.Warn("cannot expose all ports; trying on", "error", err)
	}
}

// ownAddresses are those on which ports are exposed.
func (a *Agent) ownAddresses() []netip.Addr {
	u := a.uplink.Load()
	if u == nil {
		return nil
	}
	list, err := u.Addresses()
	if err != nil { // such as while its device is gone: what was known counts
		for _, addr := range []netip.Addr{u.Addr, u.AddrIPv6} {
			if addr.IsValid() {
				list = append(list, addr)
			}
		}
	}
	return list
}

func (a *Agent) uplinkIndex() int {
	if u := a.uplink.Load(); u != nil {
		return u.Index
	}
	return 0
}

// blockedPorts are this worker's own, whether or not anything listens on them now.
func (a *Agent) blockedPorts() (out wire.HostPorts) {
	a.known.Lock()
	node := a.node
	a.known.Unlock()
	out.UDP = []uint16{tunnelPort(a.cfg, node)}
	if a.cfg.Port != 0 {
		out.TCP = []uint16{a.cfg.Port}
	}
	return out
}

// usedPorts tells schedulers which host ports nobody can have here.
func (a *Agent) usedPorts() wire.HostPorts {
	used, err := a.exposed.Used()
	if err != nil { // each port is looked at again when it is asked for
		a.log.Debug("cannot tell which ports are in use", "error", err)
		return a.blockedPorts()
	}
	return used
}

// hostRules leads processes of the host itself to exposed ports.
type hostRules struct{ firewall *egress.Firewall }

func (h hostRules) Expose(own []netip.Addr, list []expose.Exposure) error {
	var rules []egress.Redirect
	for _, e := range list {
		protocol := byte(unix.IPPROTO_TCP)
		if e.Protocol == wire.ProtocolUDP {
			protocol = unix.IPPROTO_UDP
		}
		for _, addr := range []netip.Addr{e.NamespaceIP, e.NamespaceIPv6} {
			if addr.IsValid() {
				rules = append(rules, egress.Redirect{Protocol: protocol, Port: e.Host, To: netip.AddrPortFrom(addr, e.Container)})
			}
		}
	}
	return h.firewall.Expose(own, rules)
}
