// SPDX-License-Identifier: Apache-2.0

package agent

import "github.com/oakestra/oakestra-ebpf/dataplane/device"

// mtus are how long packets may be, in bytes, that the tunnel carries.
type mtus struct {
	// containers is what those may send. It fits the ways to all peers that are met; the first packets to one that is met by IPv6 may be
	// answered as too big.
	containers int
	// host is what the host's own device takes. It drops what is longer, so this is the most that a peer sends.
	host int
	// least is what fits every way there could be. It decides whether containers have IPv6.
	least int
}

// mtus follow the uplink and the peers. Without an uplink they stay what they were; at first the usual ones do, since containers reach
// only one another.
func (a *Agent) mtus() mtus {
	u := a.uplink.Load()
	was, ok := a.containersMTU()
	switch {
	case u == nil && ok:
		return mtus{containers: was, host: was, least: was}
	case u == nil:
		u = &device.Uplink{MTU: 1500}
	}
	m := mtus{host: u.InnerMTU(false), least: u.InnerMTU(true)}
	m.containers = m.host
	// Until peers are known, as they were when NetManager ended.
	if o := a.overlay.Load(); (o != nil && o.peers.OverIPv6()) || (o == nil && ok && was == m.least) {
		m.containers = m.least
	}
	return m
}

// containersMTU is that which containers have been given; false if none has been yet.
func (a *Agent) containersMTU() (int, bool) {
	was, ok, err := a.dp.Maps().Config.Lookup(0)
	return int(was.Mtu), err == nil && ok && was.Mtu != 0
}

// resized reports whether containers have another MTU than they should have by now.
func (a *Agent) resized() bool {
	was, ok := a.containersMTU()
	return ok && was != a.mtus().containers
}
