// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/model"
)

// kernel is the programs with the tables of a world.
type kernel struct {
	progs *bpf.Programs
	maps  *bpf.Maps
	names map[uint32]string // of reasons
	stats map[uint32]string
}

func load() (*kernel, error) {
	if err := addLink(); err != nil {
		return nil, err
	}
	k := &kernel{}
	var err error
	if k.names, err = bpf.DropReasons(); err != nil {
		return nil, err
	}
	if k.stats, err = bpf.StatNames(); err != nil {
		return nil, err
	}
	k.progs, k.maps, err = bpf.Load("", bpf.Kernel{})
	return k, err
}

func addrs(a [2]netip.Addr) (out [2]bpf.Addr) {
	return [2]bpf.Addr{bpf.AddrFrom(a[0]), bpf.AddrFrom(a[1])}
}

// try collects the first error.
type try struct{ err error }

func (t *try) do(err error) {
	if t.err == nil {
		t.err = err
	}
}

// install writes a world's tables into the maps, over those that were there.
func (k *kernel) install(w *model.World) error {
	var t try
	t.do(k.config(w))
	for iface, ep := range w.Endpoints {
		out := bpf.Endpoint{Ns: addrs(ep.NS), Inst: addrs(ep.Inst), Ifindex: iface, Tag: ep.Tag, Generation: 1}
		if ep.Host {
			out.Flags = bpf.EndpointHost
		}
		t.do(k.maps.Endpoints.Put(iface, out))
		t.do(k.maps.Shares.Put(iface, bpf.Share{}))
		for _, a := range ep.NS {
			t.do(k.maps.Local.Put(bpf.AddrFrom(a), iface))
		}
	}
	for n, p := range w.Peers {
		t.do(k.peer(n, p))
	}
	for from, n := range w.PeerAt {
		t.do(k.maps.PeerAddrs.Put(bpf.PeerAddr{Addr: bpf.AddrFrom(from.Addr()), Port: from.Port()}, n))
	}
	for a, n := range w.Sources {
		t.do(k.source(a, n))
	}
	for port, x := range w.Exposed {
		t.do(k.maps.Exposed.Put(bpf.Port{Port: port.Port, Proto: port.Proto}, bpf.Exposed{Ifindex: x.Iface, Uplink: x.Uplink, Port: htons(x.Port)}))
	}
	for a := range w.Own {
		t.do(k.maps.OwnAddrs.Put(bpf.AddrFrom(a), 1))
	}
	policies := map[model.Policy]uint32{model.Refused: bpf.PolicyNone, model.RoundRobin: bpf.PolicyRoundRobin,
		model.Closest: bpf.PolicyClosest, model.Underutilized: bpf.PolicyUnderutilized, model.Instance: bpf.PolicyInstance}
	for a, v := range w.Addresses {
		t.do(k.maps.VIPs.Put(bpf.AddrFrom(a), bpf.VIP{Policy: policies[v.Policy], Service: v.Service, Backend: v.Backend}))
	}
	for n, set := range w.Sets {
		s := bpf.Service{Count: uint32(len(set))}
		copy(s.Backends[:], set)
		t.do(k.maps.Services.Put(n, s))
	}
	for n, b := range w.Backends {
		t.do(k.backend(w, n, b))
	}
	return t.err
}

func (k *kernel) config(w *model.World) error {
	upcalls := uint32(0)
	if w.Manager {
		upcalls = 1
	}
	return k.maps.Config.Put(0, bpf.Config{
		Services4: bpf.PrefixFrom(w.Services[0]), Services6: bpf.PrefixFrom(w.Services[1]),
		Workers4: bpf.PrefixFrom(w.Workers[0]), Workers6: bpf.PrefixFrom(w.Workers[1]),
		Gateway4: bpf.AddrFrom(w.Gateway[0]), Gateway6: bpf.AddrFrom(w.Gateway[1]),
		UpcallIfindex: upcalls, TunnelPort: w.Port, Mtu: 1444,
		FlowShare: [2]uint32{uint32(w.Share[0]), uint32(w.Share[1])},
	})
}

func (k *kernel) source(a netip.Addr, peer uint32) error {
	return k.maps.Sources.Put(bpf.AddrFrom(a), bpf.Source{Peer: peer, Generation: 1})
}

func (k *kernel) peer(n uint32, p model.Peer) error {
	out := bpf.Peer{Outer: bpf.AddrFrom(p.Outer), Local: bpf.AddrFrom(p.Local), Ifindex: 1, Port: p.Port, Sport: p.Sport,
		Mtu: uint16(p.MTU), State: bpf.PeerUnreachable}
	if p.Outer.Is6() {
		out.Family = bpf.V6
	}
	if p.Up {
		out.State = bpf.PeerUp
	}
	return k.maps.Peers.Put(n, out)
}

func (k *kernel) backend(w *model.World, n uint32, b model.Backend) error {
	var t try
	out := bpf.Backend{Generation: 1, Peer: b.Peer, Ifindex: b.Iface, Tag: b.Tag, Slot: b.Slot, Distance: b.Distance, Load: uint16(b.Load)}
	if b.Gone {
		out.Generation = 0
	}
	out.SetAddrs(b.NS, [2]netip.Addr{})
	t.do(k.maps.Backends.Put(n, out))
	t.do(k.maps.Loads.Put(n, bpf.ActiveFlows{Active: w.Active[n]}))
	if b.RTT > 0 {
		t.do(k.maps.PeerHealth.Put(b.Peer, bpf.PeerHealth{RttUs: b.RTT, Sampled: 1}))
	}
	return t.err
}

// given tells the model how many flows backends were given lately.
func (k *kernel) given(w *model.World) error {
	var t try
	for n := range w.Backends {
		l, _, err := k.maps.Loads.Lookup(n)
		t.do(err)
		w.Given[n] = l.Given(time.Duration(monotonic()))
	}
	return t.err
}

// counts returns the counters of drops and of where packets went, by name.
func (k *kernel) counts() (drops, sent map[string]uint64, err error) {
	drops, sent = map[string]uint64{}, map[string]uint64{}
	for _, c := range []struct {
		names map[uint32]string
		table bpf.Table[uint32, []bpf.Counter]
		into  map[string]uint64
	}{{k.names, k.maps.Drops, drops}, {k.stats, k.maps.Stats, sent}} {
		for n, name := range c.names {
			perCPU, _, err := c.table.Lookup(n)
			if err != nil {
				return nil, nil, err
			}
			for _, v := range perCPU {
				c.into[name] += v.Packets
			}
		}
	}
	return drops, sent, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func keyOf(key model.Key) bpf.FlowKey {
	return bpf.FlowKey{Src: bpf.AddrFrom(key.Src), Dst: bpf.AddrFrom(key.Dst), Sport: htons(key.Sport), Dport: htons(key.Dport),
		Proto: key.Proto, From: placeOf(key.From)}
}

func placeOf(p model.Place) uint32 {
	switch {
	case p.Peer:
		return bpf.FromPeer | p.Index
	case p.Outside:
		return 0
	}
	return p.Index
}

// differs says how a flow of the model is another one in the kernel, or "".
func (k *kernel) differs(key model.Key, want *model.Flow) (string, error) {
	got, ok, err := k.maps.Flows().Lookup(keyOf(key))
	if err != nil {
		return "", err
	}
	if !ok {
		return fmt.Sprintf("flow %+v is not in the kernel", key), nil
	}
	flags := uint16(0)
	for flag, set := range map[uint16]bool{
		bpf.FlowRewrite: want.Rewrite, bpf.FlowReply: want.Reply, bpf.FlowTunnel: want.To.Peer, bpf.FlowRemote: want.Remote,
		bpf.FlowHeld: want.Held, bpf.FlowEstablished: want.Established, bpf.FlowClosed: want.Closed,
		bpf.FlowPlain: want.Plain, bpf.FlowOut: want.To.Outside,
	} {
		if set {
			flags |= flag
		}
	}
	exp := bpf.Flow{
		Src: bpf.AddrFrom(want.Src), Dst: bpf.AddrFrom(want.Dst), Sport: htons(want.Sport), Dport: htons(want.Dport),
		Flags: flags, Seen: want.Seen, Generation: want.Slot, To: want.To.Index, Tag: want.Tag, Backend: want.Backend,
		Packets: want.Packets, Bytes: want.Bytes,
	}
	// What the clock decides, and with it the last acknowledgement, which until the first one is a time.
	got.Created, got.LastSeen, got.LastAck = 0, 0, 0
	if got != exp {
		return fmt.Sprintf("flow %+v is in the kernel\n%+v, want\n%+v", key, got, exp), nil
	}
	return "", nil
}

func monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail
	}
	return uint64(ts.Nano())
}
