// SPDX-License-Identifier: Apache-2.0

package upcall_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
	"github.com/oakestra/oakestra-ebpf/dataplane/routes"
	"github.com/oakestra/oakestra-ebpf/dataplane/upcall"
)

const (
	tunnelPort   = 50103
	containerMTU = 1444
)

// overlay is two workers, each with one container and everything of NetManager that moves packets; the test plays the cluster.
type overlay struct {
	inner, outer family
	workers      [2]*worker
}

type worker struct {
	t       *testing.T
	inner   family
	id      string
	ns, box netns.NsHandle
	outer   netip.Prefix
	gateway netip.Addr
	nsIP    netip.Addr
	inst    netip.Addr
	tag     uint32
	key     *ecdh.PrivateKey
	publish func() // as the cluster hears it

	published sync.WaitGroup

	dp     *datapath.Datapath
	peers  *peer.Greeter
	routes *routes.Table
	queue  *upcall.Queue
}

func (wk *worker) inBox(f func() error) { wk.t.Helper(); netnstest.Within(wk.t, wk.box, f) }

// veth makes a pair, of which the second may be in another namespace, and returns the first's index and address.
func veth(name, peerName string, peerNS netns.NsHandle) (int, net.HardwareAddr, error) {
	la := netlink.NewLinkAttrs()
	la.Name = name
	pair := &netlink.Veth{LinkAttrs: la, PeerName: peerName}
	if peerNS != 0 {
		pair.PeerNamespace = netlink.NsFd(int(peerNS))
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return 0, nil, err
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, nil, err
	}
	return l.Attrs().Index, l.Attrs().HardwareAddr, netlink.LinkSetUp(l)
}

// up gives an interface its address, if any, and waits until it carries packets.
func up(name string, addr netip.Prefix) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	if addr.IsValid() {
		ip := &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen())}
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return 0, err
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return 0, err
	}
	for range 1000 {
		if l, err = netlink.LinkByName(name); err != nil || l.Attrs().OperState == netlink.OperUp {
			return l.Attrs().Index, err
		}
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("%s does not come up", name)
}

func newOverlay(t *testing.T, inner, outer family, script func(*testing.T, *overlay)) *overlay {
	t.Helper()
	bpffs := t.TempDir()
	require.NoError(t, unix.Mount("bpf", bpffs, "bpf", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(bpffs, unix.MNT_DETACH) })
	w := &overlay{inner: inner, outer: outer}
	for i := range w.workers {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		require.NoError(t, err)
		w.workers[i] = &worker{
			t: t, inner: inner, id: fmt.Sprintf("%024x", 0xa+i), key: key, ns: netnstest.NewQuiet(t), box: netnstest.NewQuiet(t),
			outer: outer.cable[i], gateway: inner.gateway[i], nsIP: inner.gateway[i].Next(), inst: inner.inst[i],
			tag: uint32(0xabc0 + i), publish: func() {},
		}
	}
	a, b := w.workers[0], w.workers[1]
	netnstest.Within(t, a.ns, func() error { _, _, err := veth("eth0", "eth0", b.ns); return err })
	for _, wk := range []*worker{b, a} { // a's end is up, and carries packets once b's is
		netnstest.Within(t, wk.ns, func() error { _, err := up("eth0", wk.outer); return err })
	}
	script(t, w)
	for _, wk := range w.workers {
		wk.start(bpffs)
	}
	return w
}

func (wk *worker) start(bpffs string) {
	t := wk.t
	var tasks []func(context.Context) error
	netnstest.Within(t, wk.ns, func() (err error) {
		uplink, err := up("eth0", netip.Prefix{})
		if err != nil {
			return err
		}
		options := datapath.Options{BPFFS: bpffs, Worker: wk.id, LockDir: filepath.Join(t.TempDir(), "lock")}
		if wk.dp, err = datapath.Open(t.Context(), options); err != nil {
			return err
		}
		host, mac, err := veth("oak1", "eth0", wk.box)
		if err != nil {
			return err
		}
		if _, _, err = veth("oak-up0", "oak-up1", 0); err != nil {
			return err
		}
		up1, err := up("oak-up1", netip.Prefix{})
		if err != nil {
			return err
		}
		up0, err := up("oak-up0", netip.Prefix{})
		if err != nil {
			return err
		}
		wk.inBox(func() error { return configureBox(wk, mac) })
		maps := wk.dp.Maps()
		ep := bpf.Endpoint{Generation: one.Packed(), Ifindex: uint32(host), Tag: wk.tag}
		ep.Ns[wk.inner.index], ep.Inst[wk.inner.index] = bpf.AddrFrom(wk.nsIP), bpf.AddrFrom(wk.inst)
		for _, err := range []error{
			wk.dp.AttachUplink(uplink), wk.dp.AttachUpcall(up0, up1), wk.dp.AttachContainer(host),
			maps.Endpoints.Put(uint32(host), ep), maps.Local.Put(bpf.AddrFrom(wk.nsIP), uint32(host)),
			maps.Config.Put(0, bpf.Config{
				Services4: bpf.PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Workers4: bpf.PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")),
				Services6: bpf.PrefixFrom(netip.MustParsePrefix("fdff::/16")), Workers6: bpf.PrefixFrom(netip.MustParsePrefix("fc00::/16")),
				Gateway4: bpf.AddrFrom(wk.inner.gateways(wk.gateway)[bpf.V4]), Gateway6: bpf.AddrFrom(wk.inner.gateways(wk.gateway)[bpf.V6]),
				TunnelPort: tunnelPort, Mtu: containerMTU, UpcallIfindex: uint32(up0),
			}),
		} {
			if err != nil {
				return err
			}
		}
		wk.peers, err = peer.New(peer.Config{
			Maps: maps, WorkerID: wk.id, Key: wk.key, Start: 1, Port: tunnelPort,
			Uplink: func() peer.Uplink { return uplinkAt(uplink, wk.outer.Addr()) },
		})
		if err != nil {
			return err
		}
		published := func() { wk.published.Go(wk.publish) }
		wk.routes, err = routes.New(routes.Config{
			Maps: maps, WorkerID: wk.id, Peers: wk.peers, Publish: published,
			LocalEndpoint: func(wire.InstanceKey, wire.Generation) (bpf.Endpoint, bool) { return bpf.Endpoint{}, false },
		})
		if err != nil {
			return err
		}
		wk.queue, err = upcall.New(upcall.Config{
			Ifindex: up1, Maps: maps, Want: wk.routes.Want, WantSource: func(netip.Addr) { published() },
		})
		return err
	})
	wk.peers.Subscribe(wk.routes.PeersChanged)
	wk.peers.SubscribeSources(wk.queue.SourceKnown)
	wk.routes.OnAnswer(wk.queue.Answer)
	tasks = append(tasks, wk.peers.Run, wk.queue.Run, wk.beat, func(ctx context.Context) error {
		return wk.dp.Events(ctx, datapath.Receiver{Hello: wk.peers.HandleHello, Stale: wk.peers.HandleStale})
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(tasks))
	require.NoError(t, wk.beatOnce())
	for _, task := range tasks {
		go func() { done <- task(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range tasks {
			require.NoError(t, <-done)
		}
		wk.published.Wait()
		wk.routes.Close()
		_ = wk.peers.Close()
		_ = wk.dp.Close()
	})
}

func configureBox(wk *worker, hostMAC net.HardwareAddr) error {
	index, err := quietBox(wk.nsIP)
	if err != nil {
		return err
	}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(l, containerMTU); err != nil {
		return err
	}
	if err := netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: index, IP: wk.gateway.AsSlice(), HardwareAddr: hostMAC, State: netlink.NUD_PERMANENT,
	}); err != nil {
		return err
	}
	everything := netip.PrefixFrom(wk.gateway, 0).Masked()
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: index, Gw: wk.gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: &net.IPNet{IP: everything.Addr().AsSlice(), Mask: net.CIDRMask(0, everything.Addr().BitLen())},
	})
}

// quietBox sets a container's device up as NetManager does: it asks for nobody and tells nobody of itself.
func quietBox(addr netip.Addr) (int, error) {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return 0, err
	}
	if err := netlink.LinkSetARPOff(l); err != nil {
		return 0, err
	}
	return up("eth0", netip.PrefixFrom(addr, addr.BitLen()))
}

func uplinkAt(ifindex int, addr netip.Addr) peer.Uplink {
	u := peer.Uplink{Ifindex: ifindex, IPv6: addr, MTU: 1500}
	if addr.Is4() {
		u.IPv4, u.IPv6 = addr, netip.Addr{}
	}
	return u
}

func (wk *worker) beatOnce() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	return wk.dp.Maps().Heartbeat.Put(0, uint64(ts.Nano()))
}

func (wk *worker) beat(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
		if err := wk.beatOnce(); err != nil {
			return err
		}
	}
}

func (wk *worker) asPeer(service string) wire.NetPeer {
	source := wire.NetSource{InstanceKey: wire.InstanceKey{ServiceID: service}, Generation: one, InstanceIPv6: wk.inst}
	if wk.inst.Is4() {
		source.InstanceIP, source.InstanceIPv6 = wk.inst, netip.Addr{}
	}
	return wire.NetPeer{
		WorkerID: wk.id, PublicKey: wk.key.PublicKey().Bytes(),
		Outer:   []netip.AddrPort{netip.AddrPortFrom(wk.outer.Addr(), tunnelPort)},
		Sources: []wire.NetSource{source},
	}
}
