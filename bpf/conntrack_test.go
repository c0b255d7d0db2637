// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// entries returns what a map of flows holds.
func entries(t testing.TB, table FlowTable) map[FlowKey]Flow {
	t.Helper()
	var err error
	got := map[FlowKey]Flow{}
	for k, f := range table.All(&err) {
		got[k] = f
	}
	must(t, err)
	return got
}

// evict removes the entries of one direction, as the LRU may do.
func (k *kernel) evict(reply bool) {
	k.t.Helper()
	for key, f := range entries(k.t, k.maps.NewFlows()) {
		if (f.Flags&FlowReply != 0) == reply {
			must(k.t, k.maps.NewFlows().Delete(key))
		}
	}
}

func (k *kernel) redirects(what string, prog *ebpf.Program, frame []byte) []byte {
	k.t.Helper()
	return k.redirectsFrom(loopback, what, prog, frame)
}

func (k *kernel) redirectsFrom(ifindex uint32, what string, prog *ebpf.Program, frame []byte) []byte {
	k.t.Helper()
	verdict, out := k.runFrom(ifindex, prog, frame)
	if verdict != verdictRedirect {
		k.t.Fatalf("%s: verdict %#x, drops %v", what, verdict, k.drops())
	}
	return out
}

// TestEvictedReplyComesBack has the LRU evict only the entry for the answers: the opener's next packet makes it anew.
func TestEvictedReplyComesBack(t *testing.T) {
	for _, c := range []struct {
		name         string
		open, answer packet
	}{
		{"tcp", tcp(client, vipRemote, 4000, 80, flagSYN), tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK)},
		{"udp", packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 4000, dport: 80},
			packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_UDP, sport: 80, dport: 4000}},
		{"echo", packet{src: client, dst: vipRemote, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 4000},
			packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_ICMP, icmp: 0, sport: 4000}},
	} {
		t.Run("out/"+c.name, func(t *testing.T) {
			k := newKernel(t)
			k.redirects("open", k.progs.Container, c.open.frame())
			k.evict(true)
			k.redirects("open again", k.progs.Container, c.open.frame())
			out := k.redirects("answer", k.progs.UplinkIn, tunnelled(peerOuter, farTag, c.answer.ip()))
			want := c.answer
			want.src, want.dst = vipRemote, client
			same(t, out, want)
		})
		t.Run("in/"+c.name, func(t *testing.T) {
			k := newKernel(t)
			open, answer := c.open, c.answer
			open.src, open.dst, answer.src, answer.dst = farClient, server, server, farClient
			k.redirects("open", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, open.ip()))
			k.evict(true)
			k.redirects("open again", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, open.ip()))
			out := k.redirectsFrom(otherLink, "answer", k.progs.Container, answer.frame())
			if string(out[50:]) != string(answer.ip()) {
				t.Errorf("answer came out as\n% x\nwant\n% x", out[50:], answer.ip())
			}
		})
	}
}

// TestPortIsUsedAgain opens a second connection on the ports of one that the server has ended: it is one like any other, and
// leaves the map that floods reach.
func TestPortIsUsedAgain(t *testing.T) {
	for name, end := range map[string]uint8{"reset": flagRST | flagACK, "closed by the server": flagFIN | flagACK} {
		t.Run("out/"+name, func(t *testing.T) {
			k := newKernel(t)
			k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
			k.redirects("end", k.progs.UplinkIn, tunnelled(peerOuter, farTag, tcp(farServer, clientInst, 80, 4000, end).ip()))
			k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
			k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(peerOuter, farTag, tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK).ip()))
			k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).frame())
			if n := len(entries(t, k.maps.Flows())); n != 2 {
				t.Errorf("%d established entries, want both directions", n)
			}
		})
		t.Run("in/"+name, func(t *testing.T) {
			k := newKernel(t)
			k.redirects("SYN", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, tcp(farClient, server, 4000, 80, flagSYN).ip()))
			k.redirectsFrom(otherLink, "end", k.progs.Container, tcp(server, farClient, 80, 4000, end).frame())
			k.redirects("SYN", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, tcp(farClient, server, 4000, 80, flagSYN).ip()))
			k.redirectsFrom(otherLink, "SYN+ACK", k.progs.Container, tcp(server, farClient, 80, 4000, flagSYN|flagACK).frame())
			k.redirects("ACK", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, tcp(farClient, server, 4000, 80, flagACK).ip()))
			if n := len(entries(t, k.maps.Flows())); n != 2 {
				t.Errorf("%d established entries, want both directions", n)
			}
		})
	}
}

// TestNewInstanceLeavesNothingOfTheOld moves an established flow's service to another instance; a flow opened on the same ports
// takes the place of the old one in both directions.
func TestNewInstanceLeavesNothingOfTheOld(t *testing.T) {
	k := newKernel(t)
	k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
	k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(peerOuter, farTag, tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK).ip()))
	k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).frame())
	k.service(2, vipRemote, 1)
	must(t, k.maps.Backends.Put(2, Backend{}))
	k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
	if old, now := len(entries(t, k.maps.Flows())), len(entries(t, k.maps.NewFlows())); old != 0 || now != 2 {
		t.Errorf("%d established and %d new entries, want none and both directions of the new flow", old, now)
	}
}

// fill puts entries of no flow into the map of established ones until there is room for so many.
func (k *kernel) fill(room int) {
	k.t.Helper()
	n := int(k.maps.Flows4.Map().MaxEntries()) - room
	keys, values := make([]mapsOakKey4, n), make([]mapsOakCt4, n)
	for i := range keys {
		keys[i].Zone, keys[i].Src = 255<<24, uint32(i)
	}
	_, err := k.maps.Flows4.Map().BatchUpdate(keys, values, nil)
	must(k.t, err)
}

// TestFullMapOfEstablishedFlows holds that a flow is moved whole or not at all.
func TestFullMapOfEstablishedFlows(t *testing.T) {
	k := newKernel(t)
	k.fill(1)
	k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
	for range 2 {
		k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(peerOuter, farTag, tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK).ip()))
		k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).frame())
	}
	if now := entries(t, k.maps.NewFlows()); len(now) != 2 {
		t.Errorf("%d new entries, want both directions of the flow", len(now))
	}
	for key, f := range entries(t, k.maps.Flows()) {
		if key.Proto != 255 {
			t.Fatalf("%v, %v is among the established flows without its other direction", key, f)
		}
	}
	must(t, k.maps.Flows4.Delete(mapsOakKey4{Zone: 255 << 24}))
	k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).frame())
	if now := entries(t, k.maps.NewFlows()); len(now) != 0 {
		t.Errorf("%d new entries, want none once there was room for both", len(now))
	}
}

// TestCallerMoves opens a flow from an instance that has moved to another peer, on ports that it used before.
func TestCallerMoves(t *testing.T) {
	for _, c := range []packet{
		{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53},
		tcp(farClient, server, 4000, 80, flagSYN),
		{src: farClient, dst: server, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 9},
	} {
		k := newKernel(t)
		k.redirects("before", k.progs.UplinkIn, tunnelled(peerOuter, serverTag, c.ip()))
		must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(outside)}, 2))
		if verdict, _ := k.run(k.progs.UplinkIn, tunnelled(outside, serverTag, c.ip())); verdict != verdictDrop || k.drops()["bad_source"] != 1 {
			t.Errorf("protocol %d: another peer takes part in the flow: verdict %#x, drops %v", c.proto, verdict, k.drops())
		}
		must(t, k.maps.Sources.Put(AddrFrom(farClient), Source{Peer: 2, Generation: 2}))
		k.redirects("after the move", k.progs.UplinkIn, tunnelled(outside, serverTag, c.ip()))
		for key, f := range entries(t, k.maps.NewFlows()) {
			if key.Peer(f) != 2 {
				t.Errorf("protocol %d: entry %v still belongs to peer %d", c.proto, key, key.Peer(f))
			}
		}
		if verdict, _ := k.run(k.progs.UplinkIn, tunnelled(peerOuter, serverTag, c.ip())); verdict != verdictDrop {
			t.Errorf("protocol %d: the old place still takes part: verdict %#x", c.proto, verdict)
		}
	}
}
