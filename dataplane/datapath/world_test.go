// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

const tunnelPort = 50103

// world is two workers joined by a cable, each with its datapath, whose maps the test fills by hand.
type world struct {
	t            *testing.T
	inner, outer family
	bpffs        string
	workers      [2]*worker
}

type worker struct {
	w       *world
	name    string
	end     int // of the cable
	ns      netns.NsHandle
	outer   netip.Addr
	subnet  netip.Prefix
	uplink  int
	dp      *datapath.Datapath
	options datapath.Options
	boxes   int
	backend uint32
}

// box is a container's network namespace.
type box struct {
	w      *worker
	ns     netns.NsHandle
	nsIP   netip.Addr
	inst   netip.Addr
	tag    uint32
	host   int // ifindex
	mac    net.HardwareAddr
	number uint32
}

func mountBPFFS(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, inIPv4, inIPv4)
}

func newWorldOf(t *testing.T, inner, outer family) *world {
	t.Helper()
	return newWorldWith(t, inner, outer, datapath.Options{})
}

// newWorldWith makes a world whose datapaths are opened with these options, names and folders apart.
func newWorldWith(t *testing.T, inner, outer family, o datapath.Options) *world {
	t.Helper()
	return newWorldOver(t, inner, outer, o, (*world).cable)
}

// newWorldOver makes a world whose underlay is what join makes.
func newWorldOver(t *testing.T, inner, outer family, o datapath.Options, join func(*world)) *world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: namespaces and BPF")
	}
	w := &world{t: t, inner: inner, outer: outer, bpffs: mountBPFFS(t)}
	for i := range w.workers {
		w.workers[i] = &worker{
			w: w, name: fmt.Sprintf("w%d", i+1), end: i, ns: netnstest.NewQuiet(t),
			outer: outer.cable[i].Addr(), options: o, subnet: inner.subnets[i],
		}
	}
	join(w)
	for _, wk := range w.workers {
		wk.start()
	}
	for i, wk := range w.workers {
		wk.meet(w.workers[1-i])
	}
	return w
}

// cable joins the two workers' uplinks.
func (w *world) cable() {
	a, b := w.workers[0], w.workers[1]
	netnstest.Within(w.t, a.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(b.ns)),
		}
		return netlink.LinkAdd(veth)
	})
	w.address()
}

// address gives the ends of the cable, eth0 each, their addresses.
func (w *world) address() {
	for _, wk := range w.workers {
		netnstest.Within(w.t, wk.ns, func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			wk.uplink = l.Attrs().Index
			addrs := []netip.Prefix{w.outer.cable[wk.end]}
			if w.outer.index == bpf.V6 {
				// What a host asks its neighbours under, and as every host has one.
				addrs = append(addrs, netip.PrefixFrom(nth(netip.MustParsePrefix("fe80::/64"), 0, byte(wk.end+1)), 64))
			}
			for _, addr := range addrs {
				if err := netlink.AddrAdd(l, usableAt(addr)); err != nil {
					return err
				}
			}
			return netlink.LinkSetUp(l)
		})
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// usableAt is an address that is not looked for at others first: it can be used at once. IPv4 knows no such thing.
func usableAt(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
}

// start opens the worker's datapath, as NetManager does at every start.
func (wk *worker) start() {
	wk.options.BPFFS, wk.options.Worker, wk.options.LockDir = wk.w.bpffs, wk.name, filepath.Join(wk.w.t.TempDir(), "lock")
	netnstest.Within(wk.w.t, wk.ns, func() error {
		var err error
		if wk.dp, err = datapath.Open(wk.w.t.Context(), wk.options); err != nil {
			return err
		}
		return wk.dp.AttachUplink(wk.uplink)
	})
	wk.w.t.Cleanup(func() { _ = wk.dp.Close() })
	wk.must(wk.dp.Maps().Config.Put(0, bpf.Config{
		Services4: bpf.PrefixFrom(inIPv4.services), Workers4: bpf.PrefixFrom(inIPv4.workers),
		Services6: bpf.PrefixFrom(inIPv6.services), Workers6: bpf.PrefixFrom(inIPv6.workers),
		Gateway4:   bpf.AddrFrom(inIPv4.subnets[wk.end].Addr().Next()),
		Gateway6:   bpf.AddrFrom(inIPv6.subnets[wk.end].Addr().Next()),
		TunnelPort: tunnelPort,
		Mtu:        1444,
	}))
}

func (wk *worker) must(err error) {
	wk.w.t.Helper()
	if err != nil {
		wk.w.t.Fatal(err)
	}
}

// wayMTU is what the tunnel carries over a cable of 1500 bytes, by outer family.
var wayMTU = [2]uint16{bpf.V4: 1464, bpf.V6: 1444}

// meet writes what a hello would have taught.
func (wk *worker) meet(other *worker) {
	m := wk.dp.Maps()
	wk.must(m.Peers.Put(1, bpf.Peer{
		Outer: bpf.AddrFrom(other.outer), Local: bpf.AddrFrom(wk.outer), Ifindex: uint32(wk.uplink),
		Port: tunnelPort, Mtu: wayMTU[wk.w.outer.index], State: bpf.PeerUp, Family: uint16(wk.w.outer.index),
	}))
	wk.must(m.PeerAddrs.Put(bpf.PeerAddr{Addr: bpf.AddrFrom(other.outer)}, 1))
}

// box attaches a container to the worker.
func (wk *worker) box() *box {
	wk.boxes++
	n := wk.boxes
	b := &box{
		w: wk, ns: netnstest.NewQuiet(wk.w.t), nsIP: nth(wk.subnet, 0, byte(n+1)), number: uint32(n),
		inst: nth(wk.w.inner.services, wk.name[1], byte(n)),
		tag:  uint32(wk.name[1])<<8 | uint32(n),
	}
	gateway := wk.subnet.Addr().Next()
	var hostMAC net.HardwareAddr
	netnstest.Within(wk.w.t, wk.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("oak%d", n)}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(b.ns)),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		l, err := netlink.LinkByName(veth.Name)
		if err != nil {
			return err
		}
		b.host, hostMAC = l.Attrs().Index, l.Attrs().HardwareAddr
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		return wk.dp.AttachContainer(b.host)
	})
	netnstest.Within(wk.w.t, b.ns, func() error { return configureBox(b, gateway, hostMAC) })
	m := wk.dp.Maps()
	ep := bpf.Endpoint{Generation: 1, Ifindex: uint32(b.host), Tag: b.tag, Number: uint32(n)}
	copy(ep.Mac[:], b.mac)
	ep.Ns[wk.w.inner.index], ep.Inst[wk.w.inner.index] = bpf.AddrFrom(b.nsIP), bpf.AddrFrom(b.inst)
	wk.must(m.Endpoints.Put(uint32(b.host), ep))
	wk.must(m.Local.Put(bpf.AddrFrom(b.nsIP), uint32(b.host)))
	return b
}

func configureBox(b *box, gateway netip.Addr, hostMAC net.HardwareAddr) error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(l, 1444); err != nil {
		return err
	}
	// As in containers: nobody is asked for, and nothing told.
	if err := netlink.LinkSetARPOff(l); err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, usableAt(netip.PrefixFrom(b.nsIP, b.nsIP.BitLen()))); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	if err := device.DisableUDPSegmentation("eth0"); err != nil {
		return err
	}
	index := l.Attrs().Index
	b.mac = l.Attrs().HardwareAddr
	if err := netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: index, IP: gateway.AsSlice(), HardwareAddr: hostMAC, State: netlink.NUD_PERMANENT,
	}); err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: index, Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: ipNet(netip.PrefixFrom(gateway, 0).Masked()),
	}); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return device.AwaitLocal(h, b.nsIP)
}

// serve makes boxes the instances of a service with this address, as this worker sees it.
func (wk *worker) serve(service uint32, address netip.Addr, boxes ...*box) {
	m := wk.dp.Maps()
	s := bpf.Service{Count: uint32(len(boxes))}
	for i, b := range boxes {
		wk.backend++
		backend := bpf.Backend{Generation: 1, Service: service, Number: b.number, Tag: b.tag}
		var ns, inst [2]netip.Addr
		ns[wk.w.inner.index], inst[wk.w.inner.index] = b.nsIP, b.inst
		backend.SetAddrs(ns, inst)
		if b.w == wk {
			backend.Ifindex = uint32(b.host)
		} else {
			backend.Peer = 1
		}
		wk.must(m.Backends.Put(wk.backend, backend))
		s.Backends[i] = wk.backend
		wk.must(m.VIPs.Put(bpf.AddrFrom(b.inst), bpf.VIP{Service: service, Backend: wk.backend, Policy: bpf.PolicyInstance}))
	}
	wk.must(m.Services.Put(service, s))
	wk.must(m.VIPs.Put(bpf.AddrFrom(address), bpf.VIP{Service: service, Policy: bpf.PolicyRoundRobin}))
}

// admit tells the worker where the caller lives.
func (wk *worker) admit(caller *box) {
	wk.must(wk.dp.Maps().Sources.Put(bpf.AddrFrom(caller.inst), bpf.Source{Peer: 1, Generation: 1}))
}

// drops returns the worker's drop counters by reason, without those that are 0.
func (wk *worker) drops() map[string]uint64 {
	names, err := bpf.DropReasons()
	wk.must(err)
	out := map[string]uint64{}
	for n, name := range names {
		perCPU, _, err := wk.dp.Maps().Drops.Lookup(n)
		wk.must(err)
		for _, c := range perCPU {
			if c.Packets > 0 {
				out[name] += c.Packets
			}
		}
	}
	return out
}
