// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
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

// established returns the entries of flows that both sides have taken part in and that have not ended.
func (k *kernel) established() (n int) {
	k.t.Helper()
	for _, f := range entries(k.t, k.maps.Flows()) {
		if f.Flags&FlowEstablished != 0 && f.Flags&FlowClosed == 0 {
			n++
		}
	}
	return n
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

// TestPortIsUsedAgain opens a second connection on the ports of one that the server has ended: it is one like any other, and
// leaves the map that floods reach.
func TestPortIsUsedAgain(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		for name, end := range map[string]uint8{"reset": flagRST | flagACK, "closed by the server": flagFIN | flagACK} {
			t.Run("out/"+name, func(t *testing.T) {
				k := newKernelOf(t, f)
				k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
				k.redirects("end", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, 4000, end).of(f).ip()))
				k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
				k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK).of(f).ip()))
				k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).of(f).frame())
				if n := k.established(); n != 2 || len(entries(t, k.maps.Flows())) != 2 {
					t.Errorf("%d established entries of %d, want both directions and no others", n, len(entries(t, k.maps.Flows())))
				}
			})
			t.Run("in/"+name, func(t *testing.T) {
				k := newKernelOf(t, f)
				k.redirects("SYN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 4000, 80, flagSYN).of(f).ip()))
				k.redirectsFrom(otherLink, "end", k.progs.Container, tcp(server, farClient, 80, 4000, end).of(f).frame())
				k.redirects("SYN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 4000, 80, flagSYN).of(f).ip()))
				k.redirectsFrom(otherLink, "SYN+ACK", k.progs.Container, tcp(server, farClient, 80, 4000, flagSYN|flagACK).of(f).frame())
				k.redirects("ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 4000, 80, flagACK).of(f).ip()))
				if n := k.established(); n != 2 || len(entries(t, k.maps.Flows())) != 2 {
					t.Errorf("%d established entries of %d, want both directions and no others", n, len(entries(t, k.maps.Flows())))
				}
			})
		}
	})
}

// TestNewInstanceLeavesNothingOfTheOld moves an established flow's service to another instance; a flow opened on the same ports
// takes the place of the old one in both directions.
func TestNewInstanceLeavesNothingOfTheOld(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, 4000, flagSYN|flagACK).of(f).ip()))
		k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).of(f).frame())
		k.service(2, vipRemote, 1)
		must(t, k.maps.Backends.Put(2, Backend{}))
		k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		if old, all := k.established(), len(entries(t, k.maps.Flows())); old != 0 || all != 2 {
			t.Errorf("%d established entries of %d, want none of the two of the new flow", old, all)
		}
	})
}

// fill puts entries of no flow into a family's map until there is room for so many. It returns how to take one out again.
func (k *kernel) fill(family, room int) (free func()) {
	k.t.Helper()
	if family == V6 {
		n := int(k.maps.Flows6.Map().MaxEntries()) - room
		keys, values := make([]mapsOakKey, n), make([]mapsOakCt6, n)
		for i := range keys {
			keys[i].Zone = 255 << 24
			binary.NativeEndian.PutUint32(keys[i].Src.B[:], uint32(i))
		}
		_, err := k.maps.Flows6.Map().BatchUpdate(keys, values, nil)
		must(k.t, err)
		return func() { must(k.t, k.maps.Flows6.Delete(keys[0])) }
	}
	n := int(k.maps.Flows4.Map().MaxEntries()) - room
	keys, values := make([]mapsOakKey4, n), make([]mapsOakCt4, n)
	for i := range keys {
		keys[i].Zone, keys[i].Src = 255<<24, uint32(i)
	}
	_, err := k.maps.Flows4.Map().BatchUpdate(keys, values, nil)
	must(k.t, err)
	return func() { must(k.t, k.maps.Flows4.Delete(keys[0])) }
}

// TestFullMap holds that a flow is entered whole or not at all.
func TestFullMap(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		free := k.fill(f.inner, 1)
		syn := tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame()
		for range 2 {
			if verdict, _ := k.run(k.progs.Container, syn); verdict != verdictDrop {
				t.Errorf("verdict %#x with room for one direction, want a drop", verdict)
			}
		}
		if k.drops()["conntrack_full"] != 2 {
			t.Errorf("drops %v, want conntrack_full twice", k.drops())
		}
		for key := range entries(t, k.maps.Flows()) {
			if key.Proto != 255 {
				t.Errorf("%v is there without its other direction", key)
			}
		}
		free()
		k.redirects("SYN once there is room for both", k.progs.Container, syn)
	})
}

// TestEndedFlowsMakeRoom opens and ends more flows than the ring of ended ones holds, and nobody sweeps: no more stay than it holds.
func TestEndedFlowsMakeRoom(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		for i := range int(mapsOakLimitsOAK_RING) + 100 {
			port := uint16(1 + i)
			k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, port, 80, flagSYN).of(f).frame())
			k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, port, flagSYN|flagACK).of(f).ip()))
			k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, port, 80, flagACK).of(f).frame())
			k.redirects("FIN", k.progs.Container, tcp(client, vipRemote, port, 80, flagFIN|flagACK).of(f).frame())
			k.redirects("FIN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, port, flagFIN|flagACK).of(f).ip()))
			k.redirects("last ACK", k.progs.Container, tcp(client, vipRemote, port, 80, flagACK).of(f).frame())
		}
		// The test may have been moved between processors, each of which has a ring.
		all, most := len(entries(t, k.maps.Flows())), 2*int(mapsOakLimitsOAK_RING)*ebpf.MustPossibleCPU()
		if all > most || k.established() != 0 {
			t.Errorf("%d entries stay, %d of them as established; want at most %d and none", all, k.established(), most)
		}
		if active, _, err := k.maps.Loads.Lookup(2); err != nil || active.Active != 0 {
			t.Errorf("the instance has %d active flows (%v), want none", active.Active, err)
		}
	})
}

// TestCallerMoves opens a flow from an instance that has moved to another peer, on ports that it used before.
func TestCallerMoves(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		for _, c := range []packet{
			{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53},
			tcp(farClient, server, 4000, 80, flagSYN),
			{src: farClient, dst: server, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 9},
		} {
			k := newKernelOf(t, f)
			k.redirects("before", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, c.of(f).ip()))
			must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(f.outside(outside))}, 2))
			if verdict, _ := k.run(k.progs.UplinkIn, tunnelled(f.outside(outside), serverTag, c.of(f).ip())); verdict != verdictDrop || k.drops()["bad_source"] != 1 {
				t.Errorf("protocol %d: another peer takes part in the flow: verdict %#x, drops %v", c.proto, verdict, k.drops())
			}
			k.source(farClient, 2)
			k.redirects("after the move", k.progs.UplinkIn, tunnelled(f.outside(outside), serverTag, c.of(f).ip()))
			for key, f := range entries(t, k.maps.Flows()) {
				if key.Peer(f) != 2 {
					t.Errorf("protocol %d: entry %v still belongs to peer %d", c.proto, key, key.Peer(f))
				}
			}
			if verdict, _ := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, c.of(f).ip())); verdict != verdictDrop {
				t.Errorf("protocol %d: the old place still takes part: verdict %#x", c.proto, verdict)
			}
		}
	})
}
