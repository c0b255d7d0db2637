// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

// known is a world of one worker, w1, with something of everything in its maps.
func known(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	m, progs := w.worker("w1")
	eth0, oak1, oak2 := w.device("eth0"), w.device("oak1"), w.device("oak2")
	w.attach("w1", "uplink_in", eth0, progs.UplinkIn, ebpf.AttachTCXIngress)
	w.attach("w1", "uplink_out", eth0, progs.UplinkOut, ebpf.AttachTCXEgress)
	w.attach("w1", "container", oak1, progs.Container, ebpf.AttachTCXIngress)
	w.attach("w1", "container", oak2, progs.Container, ebpf.AttachTCXIngress)
	w.within(func() error { return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: oak2}}) })
	ok := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	ok(m.Config.Put(0, bpf.Config{
		Services4: bpf.PrefixFrom(netip.MustParsePrefix("10.30.0.0/16")), Services6: bpf.PrefixFrom(netip.MustParsePrefix("fdff::/16")),
		Workers4: bpf.PrefixFrom(netip.MustParsePrefix("10.18.0.0/16")), Gateway4: addr("10.18.0.1"), TunnelPort: 50103, Mtu: 1444,
	}))
	ok(m.Heartbeat.Put(0, ago(300*time.Millisecond)))
	ok(m.Peers.Put(1, bpf.Peer{
		Outer: addr("192.0.2.2"), Local: addr("192.0.2.1"), Ifindex: uint32(eth0), Port: 50103, Mtu: 1500, State: bpf.PeerUp, Id: id(t, worker2ID),
	}))
	ok(m.Peers.Put(2, bpf.Peer{State: bpf.PeerGreeting, Id: id(t, workerID)}))
	ok(m.Peers.Put(4095, bpf.Peer{
		Outer: addr("2001:db8::9"), Local: addr("2001:db8::1"), Ifindex: 99, Port: 1024, Mtu: 1400, State: bpf.PeerUp, Sport: 50103,
	}))
	ok(m.Peers.Put(3, bpf.Peer{State: bpf.PeerBothSymmetric, Id: id(t, serviceA)}))
	ok(m.PeerStats.Put(1, onCPUs(t,
		bpf.PeerStats{TxPackets: 10, TxBytes: 1000, RxPackets: 1, RxBytes: 100},
		bpf.PeerStats{TxPackets: 5, TxBytes: 500, RxPackets: 2, RxBytes: 200})))
	ok(m.PeerHealth.Put(1, bpf.PeerHealth{Heard: ago(1500 * time.Millisecond), Sampled: ago(1500 * time.Millisecond), RttUs: 1234}))
	ok(m.PeerHealth.Put(4095, bpf.PeerHealth{Asked: ago(11 * time.Second), Sent: ago(time.Second)})) // unreachable
	ok(m.Paths.Put(1, bpf.Path{
		Outer: addr("192.0.2.2"), Local: addr("192.0.2.1"), Mtu: 1364, Learned: ago(42*time.Second + 500*time.Millisecond), Until: ago(-540 * time.Second),
	}))
	// Said of where that peer was before.
	ok(m.Paths.Put(4095, bpf.Path{Outer: addr("2001:db8::8"), Local: addr("2001:db8::1"), Mtu: 1344, Learned: ago(time.Second), Until: ago(-time.Hour)}))
	ok(m.Loads.Put(2, bpf.ActiveFlows{Active: 7}))
	ok(m.Sources.Put(addr("10.30.0.50"), bpf.Source{Peer: 1, Generation: gen(1, 0)}))
	ok(m.Sources.Put(addr("10.30.0.51"), bpf.Source{Peer: 1, Generation: gen(1, 0)}))

	ep := bpf.Endpoint{
		Ns: addrs("10.18.0.2"), Inst: addrs("10.30.0.10"), Generation: gen(1, 0), Ifindex: uint32(oak1), Tag: 4660, Number: 0,
		Service: id(t, serviceA), Mac: [6]uint8{2, 0, 0, 0, 0, 1}, HostMac: [6]uint8{2, 0, 0, 0, 0, 2},
	}
	ep.Ns[bpf.V6], ep.Inst[bpf.V6] = addr("fc00::2"), addr("fdff::10")
	ok(m.Endpoints.Put(uint32(oak1), ep))
	ok(m.Local.Put(addr("10.18.0.2"), uint32(oak1)))
	ok(m.Endpoints.Put(78, bpf.Endpoint{
		Ns: addrs("10.18.0.1"), Inst: addrs("10.18.0.1"), Generation: 1, Ifindex: 78, Tag: 18, Flags: bpf.EndpointHost,
	}))
	for port, proto := range map[uint16]uint8{8080: 6, 8081: 17} {
		ok(m.Exposed.Put(bpf.Port{Port: port, Proto: proto}, bpf.Exposed{Ifindex: uint32(oak1), Uplink: 1, Port: port<<8&0xff00 | port>>8}))
	}
	ok(m.Endpoints.Put(77, bpf.Endpoint{Ns: addrs("10.18.0.3"), Inst: addrs("10.30.0.11"), Generation: gen(1, 2), Ifindex: 77, Tag: 17, Number: 4}))

	ok(m.Backends.Put(1, backend("10.18.0.2", "10.30.0.10", bpf.Backend{Generation: gen(1, 0), Service: 1, Number: 0, Ifindex: uint32(oak1), Tag: 4660})))
	ok(m.Backends.Put(2, backend("10.18.0.66", "10.30.0.12", bpf.Backend{Generation: gen(2, 1), Service: 1, Number: 2, Peer: 1, Tag: 99, Load: 125, Distance: 12})))
	ok(m.Backends.Put(3, backend("10.18.0.130", "10.30.0.13", bpf.Backend{Generation: gen(1, 0), Service: 1, Number: 1, Peer: 2, Tag: 98, Load: bpf.LoadUnknown, Distance: bpf.DistanceUnknown})))
	ok(m.Backends.Put(16383, backend("10.18.0.67", "10.30.0.14", bpf.Backend{Generation: gen(1, 0), Service: 9, Peer: 7, Tag: 97})))
	one := bpf.Service{Count: 3, Id: id(t, serviceA)}
	copy(one.Backends[:], []uint32{1, 3, 2})
	ok(m.Services.Put(1, one))
	ok(m.Cursors.Put(1, 7))
	ok(m.Services.Put(2, bpf.Service{Id: id(t, serviceB)}))
	ok(m.VIPs.Put(addr("10.30.0.101"), bpf.VIP{Service: 1, Policy: bpf.PolicyClosest}))
	ok(m.VIPs.Put(addr("10.30.0.100"), bpf.VIP{Service: 1, Policy: bpf.PolicyRoundRobin}))
	ok(m.VIPs.Put(addr("fdff:2000::1"), bpf.VIP{Service: 1, Policy: bpf.PolicyRoundRobin}))
	ok(m.VIPs.Put(addr("10.30.0.12"), bpf.VIP{Service: 1, Backend: 2, Policy: bpf.PolicyInstance}))
	ok(m.VIPs.Put(addr("10.30.0.110"), bpf.VIP{Service: 2, Policy: bpf.PolicyUnderutilized}))
	ok(m.VIPs.Put(addr("10.30.0.200"), bpf.VIP{Policy: bpf.PolicyNone}))
	ok(m.Pending.Put(addr("10.30.0.201"), bpf.Pending{Up: 5, Down: 2}))
	fillFlows(t, m)
	ok(features.Write(filepath.Join(w.bpffs, "oakestra", "w1"), features.Record{Kernel: "6.1.0", Features: []features.Feature{
		{Name: "redirect_peer", Least: "5.10", Use: "delivery", Found: true, Used: true},
		{Name: "tcx", Least: "6.6", Use: "links", Fallback: "clsact filters"},
	}, Uplinks: []features.Uplink{
		{Ifindex: 3, Name: "eth0", XDP: features.XDPOff, Why: "it is a veth, whose packets would only take longer"},
		{Ifindex: 4, Name: "eth1", XDP: features.XDPNative, Decap: true},
	}}))

	reasons, err := bpf.DropReasons()
	ok(err)
	for n, name := range reasons {
		switch name {
		case "bad_tag":
			ok(m.Drops.Put(n, onCPUs(t, bpf.Counter{Packets: 1, Bytes: 60}, bpf.Counter{Packets: 2, Bytes: 120})))
		case "spoofed_source":
			ok(m.Drops.Put(n, onCPUs(t, bpf.Counter{Packets: 40, Bytes: 4000}, bpf.Counter{})))
		}
	}
	stats, err := bpf.StatNames()
	ok(err)
	for n, name := range stats {
		if name == "to_tunnel" {
			ok(m.Stats.Put(n, onCPUs(t, bpf.Counter{Packets: 15, Bytes: 1500}, bpf.Counter{})))
		}
	}
	return w
}

// pair is both directions of a flow; what each says of the other and the keys follow from the forward one.
type pair struct {
	table              bpf.FlowTable
	key                bpf.FlowKey
	forward, reply     bpf.Flow
	noForward, noReply bool
}

func (p pair) put(t *testing.T) {
	t.Helper()
	reply := p.key.Reverse(p.forward)
	p.reply.Src, p.reply.Dst, p.reply.Sport, p.reply.Dport = p.key.Dst, p.key.Src, p.key.Dport, p.key.Sport
	p.reply.Flags |= bpf.FlowReply | p.forward.Flags&(bpf.FlowEstablished|bpf.FlowRewrite)
	switch {
	case p.forward.Flags&bpf.FlowTunnel != 0:
		p.reply.Flags |= bpf.FlowRemote
	case p.forward.Flags&bpf.FlowRemote != 0:
		p.reply.Flags |= bpf.FlowTunnel
	}
	p.reply.To, p.reply.Tag, p.reply.Created = p.key.From, p.forward.Tag, p.forward.Created
	if p.reply.Flags&bpf.FlowTunnel != 0 {
		p.reply.To = p.key.From &^ bpf.FromPeer
	}
	if !p.noForward {
		require.NoError(t, p.table.Put(p.key, p.forward))
	}
	if !p.noReply {
		require.NoError(t, p.table.Put(reply, p.reply))
	}
}

func key(proto uint8, src string, sport uint16, dst string, dport uint16) bpf.FlowKey {
	return bpf.FlowKey{Src: addr(src), Dst: addr(dst), Sport: be(sport), Dport: be(dport), Proto: proto}
}

func fromPeer(k bpf.FlowKey, peer uint32) bpf.FlowKey {
	k.From = bpf.FromPeer | peer
	return k
}

// earlier is a moment of the kernel's clock.
func earlier(d time.Duration) time.Duration { return time.Duration(ago(d)) }

func backend(ns, inst string, b bpf.Backend) bpf.Backend {
	b.SetAddrs([2]netip.Addr{netip.MustParseAddr(ns)}, [2]netip.Addr{netip.MustParseAddr(inst)})
	return b
}

// toB2 is a flow from the endpoint here to backend 2, on peer 1.
func toB2(sport, dport uint16, flags uint16, seen uint8, created time.Duration) bpf.Flow {
	return bpf.Flow{
		Src: addr("10.30.0.10"), Dst: addr("10.18.0.66"), Sport: be(sport), Dport: be(dport), Flags: bpf.FlowRewrite | bpf.FlowTunnel | flags,
		Seen: seen, To: 1, Tag: 99, Backend: 2, Created: earlier(created), LastSeen: earlier(created / 2), Packets: 10, Bytes: 1000,
	}
}

func fillFlows(t *testing.T, m *bpf.Maps) {
	t.Helper()
	const open = bpf.SeenSYN | bpf.SeenACK
	here, vip := "10.18.0.2", "10.30.0.100"
	local := toB2(40004, 80, 0, open|bpf.SeenFIN, time.Hour)
	local.Flags, local.To, local.Backend, local.Dst = bpf.FlowRewrite, 0, 1, addr(here)
	gone := toB2(40005, 80, 0, open|bpf.SeenRST, time.Minute)
	gone.Generation = 9
	moved := toB2(50000, 53, bpf.FlowEstablished, 0, 5*time.Second)
	in := bpf.Flow{
		Src: addr("10.30.0.50"), Dst: addr(here), Sport: be(1234), Dport: be(8080), Flags: bpf.FlowRemote | bpf.FlowEstablished, Seen: open,
		Tag: 4660, Created: earlier(48 * time.Hour), LastSeen: earlier(30 * time.Second), Packets: 1 << 33, Bytes: 1 << 40,
	}
	for _, p := range []pair{
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40001, vip, 80), forward: toB2(40001, 80, bpf.FlowEstablished, open, 90*time.Second),
			reply: bpf.Flow{Seen: open, LastSeen: earlier(100 * time.Millisecond), Packets: 20, Bytes: 30000}},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40002, vip, 80), forward: toB2(40002, 80, 0, bpf.SeenSYN, time.Second)},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40003, vip, 80), forward: toB2(40003, 80, 0, bpf.SeenSYN, 2*time.Second),
			reply: bpf.Flow{Seen: open, Packets: 1, Bytes: 60}},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40004, vip, 80), forward: local, reply: bpf.Flow{Seen: open | bpf.SeenFIN}},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40005, "10.30.0.12", 80), forward: gone, reply: bpf.Flow{Seen: open}},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40006, vip, 80), forward: toB2(40006, 80, bpf.FlowEstablished, open|bpf.SeenFIN, time.Minute),
			reply: bpf.Flow{Seen: open}},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40007, vip, 80), forward: toB2(40007, 80, 0, bpf.SeenSYN, time.Second), noReply: true},
		{table: m.Flows(), key: key(unix.IPPROTO_TCP, here, 40008, vip, 80), forward: toB2(40008, 80, 0, bpf.SeenSYN, time.Second), noForward: true,
			reply: bpf.Flow{LastSeen: earlier(time.Second)}},
		{table: m.Flows(), key: fromPeer(key(unix.IPPROTO_TCP, "10.30.0.50", 1234, here, 8080), 1), forward: in, reply: bpf.Flow{Seen: open}},
		{table: m.Flows(), key: key(unix.IPPROTO_UDP, here, 5353, vip, 53), forward: moved, reply: bpf.Flow{Packets: 1, Bytes: 90}},
		{table: m.Flows(), key: key(unix.IPPROTO_UDP, here, 5354, vip, 53), forward: toB2(5354, 53, 0, 0, time.Second)},
		{table: m.Flows(), key: key(unix.IPPROTO_ICMP, here, 77, vip, 0x0800), forward: toB2(77, 0x0800, 0, 0, 3*time.Second),
			reply: bpf.Flow{Packets: 3, Bytes: 294, LastSeen: earlier(time.Second)}},
	} {
		p.put(t)
	}
}
