// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
)

// followEvery is how often the uplink's address and MTU are looked at although the kernel has told of no change, and what others may
// have taken away.
const followEvery = 2 * time.Second

// mend puts back what others have removed of the host's part: a firewall that is loaded anew flushes everybody's tables, and who
// writes net.ipv4.ip_forward resets forwarding on every device. What is right is not touched.
func (a *Agent) mend(context.Context) error {
	a.configuring.Lock()
	defer a.configuring.Unlock()
	errs := []error{a.configureHost(), a.exposed.Check(), a.admitContainers()}
	forward := func(enable func(string) error, name string) {
		if err := enable(name); !errors.Is(err, fs.ErrNotExist) { // gone, or about to be found gone
			errs = append(errs, err)
		}
	}
	for _, e := range a.endpoints.List() {
		forward(device.EnableForwarding, e.Interface)
		forward(device.EnableForwardingIPv6, e.Interface)
	}
	if u := a.uplink.Load(); u != nil {
		forward(device.EnableForwarding, u.Name)
		if u.AddrIPv6.IsValid() {
			forward(device.RouteIPv6, u.Name)
		}
	}
	return errors.Join(errs...)
}

// follow does what a change of the uplink asks for, and what an earlier attempt failed to.
func (a *Agent) follow(ctx context.Context) error {
	changed, err := a.lookAtUplink()
	if err != nil {
		return err // the one known so far stays: a cable that is out for a moment changes nothing
	}
	a.known.Lock()
	pending := a.identity != nil && a.node != nil && a.overlay.Load() == nil
	a.known.Unlock()
	if resized := a.resized(); resized {
		a.log.Info("containers get another MTU", "mtu", a.mtus().containers)
	} else if !changed && !pending {
		return nil
	}
	a.configuring.Lock()
	defer a.configuring.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	if changed {
		if o := a.overlay.Load(); o != nil {
			o.peers.LookAgain()
		}
		a.publish.endpoints()
	}
	return a.configure(ctx)
}

// watchDevices passes on that devices, addresses or routes have changed, until the kernel or ctx ends it.
func watchDevices(ctx context.Context, changed chan<- struct{}) error {
	changes, err := device.Watch(ctx)
	if err != nil {
		return err
	}
	for range changes {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// lookAtUplink puts the programs on the uplink and reports whether it is another, or has changed.
func (a *Agent) lookAtUplink() (changed bool, err error) {
	now, err := device.FindUplink(a.cfg.Uplink)
	if err != nil {
		return false, err
	}
	before := a.uplink.Load()
	if before != nil && *before == now {
		return false, nil
	}
	if before == nil || before.Index != now.Index {
		if err := a.dp.AttachUplink(now.Index); err != nil {
			return false, err
		}
		if err := a.noteRouting(now.Name); err != nil {
			return false, err
		}
		// Answers to what containers sent outside come back here.
		if err := device.EnableForwarding(now.Name); err != nil {
			return false, err
		}
	}
	if now.AddrIPv6.IsValid() {
		if err := a.noteRouting(now.Name); err != nil {
			return false, err
		}
		if err := device.RouteIPv6(now.Name); err != nil {
			return false, err
		}
	}
	a.uplink.Store(&now)
	a.settleExposed()
	a.log.Info("uplink", "device", now.Name, "address", now.Addr, "address_ipv6", now.AddrIPv6, "mtu", now.MTU, "container_mtu", a.mtus().containers)
	if before != nil && before.Index != now.Index {
		if err := a.dp.Detach(before.Index); err != nil {
			a.log.Warn("cannot take the programs off the former uplink", "device", before.Name, "error", err)
		}
	}
	return true, nil
}

// uplinkNow is what the greeter asks for.
func (a *Agent) uplinkNow() peer.Uplink {
	if u := a.uplink.Load(); u != nil {
		return peer.Uplink{Ifindex: u.Index, IPv4: u.Addr, IPv6: u.AddrIPv6, MTU: u.MTU}
	}
	return peer.Uplink{}
}

// behind is what is known of the NAT before this worker.
func (a *Agent) behind() wire.NAT {
	if o := a.overlay.Load(); o != nil {
		return o.peers.NAT()
	}
	return wire.NATNone
}

// outer lists where other workers can greet this one, the most likely first.
func (a *Agent) outer() []netip.AddrPort {
	out := []netip.AddrPort{}
	a.known.Lock()
	port := a.port
	a.known.Unlock()
	u := a.uplink.Load()
	if u == nil {
		u = &device.Uplink{}
	}
	add := func(addr netip.Addr, port uint16) {
		if at := netip.AddrPortFrom(addr, port); addr.IsValid() && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	if p := a.cfg.Public; p.Address.IsValid() || p.Port != 0 {
		add(cmp.Or(p.Address, u.Addr, u.AddrIPv6), cmp.Or(p.Port, port))
	}
	add(u.Addr, port)
	add(u.AddrIPv6, port)
	if o := a.overlay.Load(); o != nil {
		for _, seen := range o.peers.Public() {
			add(seen.Addr(), seen.Port())
		}
	}
	return out
}
