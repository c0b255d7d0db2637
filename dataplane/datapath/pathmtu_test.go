// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

const (
	// narrowMTU is what the routers' link carries, of which the workers know nothing.
	narrowMTU = 1400
	// narrowFor is how long the workers believe that, as their kernels are set.
	narrowFor = 3 * time.Second
)

// distant are the workers' outer addresses where two routers are between them, and those of the routers: towards the workers, and
// towards one another.
var distant = [2][2][3]netip.Prefix{
	bpf.V4: {
		{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.254/24"), netip.MustParsePrefix("203.0.113.1/30")},
		{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.254/24"), netip.MustParsePrefix("203.0.113.2/30")},
	},
	bpf.V6: {
		{netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::fe/64"), netip.MustParsePrefix("2001:db8:f::1/64")},
		{netip.MustParsePrefix("2001:db8:1::1/64"), netip.MustParsePrefix("2001:db8:1::fe/64"), netip.MustParsePrefix("2001:db8:f::2/64")},
	},
}

// routed is a world whose workers have two routers between them, and those a narrow link.
type routed struct {
	*world
	routers [2]netns.NsHandle
}

func newRouted(t *testing.T, inner, outer family) *routed {
	t.Helper()
	r := &routed{}
	r.world = newWorldOver(t, inner, outer, datapath.Options{}, func(w *world) {
		r.world = w
		r.join()
	})
	return r
}

// join makes worker – router – router – worker.
func (r *routed) join() {
	for i := range r.routers {
		r.routers[i] = netnstest.NewQuiet(r.t)
		sysctl(r.t, r.routers[i], "ipv4/ip_forward", "1")
		sysctl(r.t, r.routers[i], "ipv6/conf/all/forwarding", "1")
	}
	ends := distant[r.outer.index]
	r.wire("in", r.routers[0], ends[0][2], "in", r.routers[1], ends[1][2], narrowMTU)
	for i, wk := range r.workers {
		wk.outer = ends[i][0].Addr()
		sysctl(r.t, wk.ns, "ipv4/route/mtu_expires", strconv.Itoa(int(narrowFor.Seconds())))
		wk.uplink = r.wire("eth0", wk.ns, ends[i][0], "out", r.routers[i], ends[i][1], 1500)
		far := netip.PrefixFrom(ends[1-i][0].Addr(), ends[1-i][0].Bits()).Masked()
		r.route(wk.ns, far, ends[i][1].Addr())
		r.route(r.routers[i], far, ends[1-i][2].Addr())
	}
}

// wire joins two namespaces and returns the index of the first one's device.
func (r *routed) wire(nameA string, a netns.NsHandle, addrA netip.Prefix, nameB string, b netns.NsHandle, addrB netip.Prefix, mtu int) (index int) {
	r.t.Helper()
	netnstest.Within(r.t, a, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nameA, MTU: mtu}, PeerName: nameB, PeerNamespace: netlink.NsFd(int(b)), PeerMTU: uint32(mtu)})
	})
	for i, end := range []struct {
		ns   netns.NsHandle
		name string
		addr netip.Prefix
	}{{b, nameB, addrB}, {a, nameA, addrA}} {
		netnstest.Within(r.t, end.ns, func() error {
			l, err := netlink.LinkByName(end.name)
			if err != nil {
				return err
			}
			index = l.Attrs().Index
			addrs := []netip.Prefix{end.addr}
			if end.addr.Addr().Is6() {
				addrs = append(addrs, netip.PrefixFrom(nth(netip.MustParsePrefix("fe80::/64"), 0, byte(i+1)), 64))
			}
			for _, addr := range addrs {
				if err := netlink.AddrAdd(l, usableAt(addr)); err != nil {
					return err
				}
			}
			return netlink.LinkSetUp(l)
		})
	}
	return index
}

func (r *routed) route(ns netns.NsHandle, to netip.Prefix, by netip.Addr) {
	r.t.Helper()
	netnstest.Within(r.t, ns, func() error { return netlink.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: by.AsSlice()}) })
}

// widen has the routers' link carry what the others do.
func (r *routed) widen() {
	r.t.Helper()
	for _, ns := range r.routers {
		netnstest.Within(r.t, ns, func() error {
			l, err := netlink.LinkByName("in")
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, 1500)
		})
	}
}

func sysctl(t *testing.T, ns netns.NsHandle, name, value string) {
	t.Helper()
	netnstest.Within(t, ns, func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o600) })
}

// limit is what the worker's programs hold the way to the other one to carry; 0 if nobody has said anything of it, or not of late.
func (wk *worker) limit() (limit uint16, learned uint64) {
	m := wk.dp.Maps()
	peer, _, err := m.Peers.Lookup(1)
	wk.must(err)
	path, _, err := m.Paths.Lookup(1)
	wk.must(err)
	var now unix.Timespec
	wk.must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return path.Limit(peer, time.Duration(now.Nano())), path.Learned
}

// TestANarrowLinkBetweenRouters: the workers' interfaces carry 1500 bytes, a link between routers less. What these say reaches the containers:
// streams and datagrams get through, and when it is forgotten the way is found out anew, as wide as it is then.
func TestANarrowLinkBetweenRouters(t *testing.T) {
	for _, inner := range []family{inIPv4, inIPv6} {
		for _, outer := range []family{inIPv4, inIPv6} {
			t.Run(inner.name+"Over"+outer.name, func(t *testing.T) { narrowLink(t, newRouted(t, inner, outer)) })
		}
	}
}

func narrowLink(t *testing.T, r *routed) {
	a, b := r.workers[0], r.workers[1]
	client, far := a.box(), b.box()
	carried := uint16(narrowMTU - bpf.Overhead(r.outer.index == bpf.V4))

	// A stream both ways: both workers learn.
	bulkBetween(t, r.world, client, far)
	for _, wk := range r.workers {
		if path, _, err := wk.dp.Maps().Paths.Lookup(1); err != nil || path.Mtu != uint32(carried) {
			t.Fatalf("%s holds that the way carries %d (%v), want %d; drops %v and %v", wk.name, path.Mtu, err, carried, a.drops(), b.drops())
		}
	}
	// Datagrams of the container's MTU, and in pieces.
	r.datagramsPass(client, far)
	for _, wk := range r.workers {
		if d := wk.drops(); d["too_big"] == 0 || len(d) != 1 {
			t.Errorf("%s dropped %v, want some that were too big and nothing else", wk.name, d)
		}
	}

	// Forgotten, and learned anew while it is as narrow as before.
	c := r.prober(client)
	eventuallyWithin(t, 3*narrowFor, "the way is forgotten", func() bool { limit, _ := a.limit(); return limit == 0 })
	_, before := a.limit()
	eventually(t, "a router says it again", func() bool {
		_ = c.send(containerMTU)
		limit, learned := a.limit()
		return limit == carried && learned > before
	})
	// What a container sends is answered while that holds, and passes once it is forgotten and the link has become wide.
	if c.passes(containerMTU) {
		t.Errorf("a datagram of %d bytes gets through a link of %d", containerMTU, narrowMTU)
	}
	r.widen()
	held, _ := a.limit()
	passed := c.passes(containerMTU)
	if still, _ := a.limit(); passed && held == carried && still == carried {
		t.Errorf("a datagram of %d bytes gets through although the way is held to carry %d", containerMTU, carried)
	}
	eventuallyWithin(t, 3*narrowFor, "full packets pass again", func() bool { return c.passes(containerMTU) })
	if limit, _ := a.limit(); limit != 0 {
		t.Errorf("the way is held to carry %d still", limit)
	}
}

// containerMTU is that of boxes.
const containerMTU = 1444

// datagramsPass sends datagrams until they come back: as long as one packet, and in pieces.
func (r *routed) datagramsPass(client, far *box) {
	r.t.Helper()
	far.echo(r.t)
	netnstest.Within(r.t, client.ns, func() error {
		c, err := net.Dial(r.inner.udp(), at(r.inner.service(0), "53"))
		if err != nil {
			return err
		}
		defer c.Close()
		got := make([]byte, 1<<16)
		for _, size := range []int{containerMTU - 48, 4000, 40000} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			arrived := false
			// A router and each end's own program have to say so first, of a datagram each.
			for try := 0; try < 8 && !arrived; try++ {
				if _, err := c.Write(sent); err != nil && !errors.Is(err, unix.EMSGSIZE) {
					return err
				}
				_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				n, err := c.Read(got)
				arrived = err == nil && bytes.Equal(got[:n], sent)
			}
			if !arrived {
				return fmt.Errorf("no datagram of %d bytes came through (drops %v and %v)", size, client.w.drops(), far.w.drops())
			}
		}
		return nil
	})
}

// prober sends datagrams in one packet each, whatever its kernel holds the way to carry.
type prober struct {
	r    *routed
	conn net.Conn
}

func (r *routed) prober(client *box) *prober {
	r.t.Helper()
	p := &prober{r: r}
	netnstest.Within(r.t, client.ns, func() error {
		var err error
		if p.conn, err = net.Dial(r.inner.udp(), at(r.inner.service(0), "53")); err != nil {
			return err
		}
		raw, err := p.conn.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		level, option := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
		if r.inner.index == bpf.V6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
		}
		var failed error
		err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_PROBE) })
		return errors.Join(err, failed)
	})
	r.t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

// send sends a packet of so many bytes. What was said of an earlier one comes as an error of this.
func (p *prober) send(size int) error {
	_, err := p.conn.Write(make([]byte, size-[2]int{28, 48}[p.r.inner.index]))
	return err
}

// passes reports whether a packet of so many bytes reaches the other worker: its program counts it.
func (p *prober) passes(size int) bool {
	before := p.r.workers[1].received()
	sent := false
	for try := 0; try < 3 && !sent; try++ { // what is told of an earlier one takes the place of a packet
		sent = p.send(size) == nil
	}
	for n := 0; n < 20 && sent; n++ {
		if p.r.workers[1].received() > before {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// received counts what the worker has accepted from the other one.
func (wk *worker) received() (n uint64) {
	perCPU, _, err := wk.dp.Maps().PeerStats.Lookup(1)
	wk.must(err)
	for _, s := range perCPU {
		n += s.RxPackets
	}
	return n
}

func eventuallyWithin(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(most); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, most)
		}
	}
}
