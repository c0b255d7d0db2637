// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// TestFloodOfOpenersEvictsNoLivingFlow opens many more flows than the ring of new ones holds and answers none: the established one goes on, and
// another one can be opened.
func TestFloodOfOpenersEvictsNoLivingFlow(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		open := func(sport uint16) {
			k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, sport, 80, flagSYN).of(f).frame())
			k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, sport, flagSYN|flagACK).of(f).ip()))
			k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, sport, 80, flagACK).of(f).frame())
		}
		open(1)
		flood := tcp(client, vipRemote, 2, 80, flagSYN).of(f).frame()
		openers := 100_000
		if os.Getenv("OAK_EMULATED") != "" {
			openers = 40_000 // still more than the map's entries
		}
		for i := range openers {
			binary.BigEndian.PutUint16(flood[f.l4At():], uint16(2+i%60000))
			flood[f.l4At()+3] = byte(i / 60000) // destination port
			if verdict, _ := k.run(k.progs.Container, flood); verdict != verdictRedirect {
				t.Fatalf("opener %d: verdict %#x, drops %v", i, verdict, k.drops())
			}
		}
		if n, most := len(entries(t, k.maps.Flows())), 2+2*int(mapsOakLimitsOAK_RING)*ebpf.MustPossibleCPU(); n > most {
			t.Errorf("%d entries, want no more than those of the established flow and of the rings, %d", n, most)
		}
		k.redirects("data of the established flow", k.progs.Container, tcp(client, vipRemote, 1, 80, flagACK).of(f).frame())
		k.redirects("its answer", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, 1, flagACK).of(f).ip()))
		open(65000)
		if n := k.established(); n != 4 {
			t.Errorf("%d established entries, want those of two flows", n)
		}
	})
}

// TestRoundRobinIsEven gives new flows to any number of instances in turn, also while the set changes.
func TestRoundRobinIsEven(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.beat()
		indices := make([]uint32, MaxBackendsPerService)
		for i := range indices {
			indices[i] = uint32(100 + i)
			k.backend(indices[i], netip.AddrFrom4([4]byte{10, 18, 9, byte(i)}), netip.AddrFrom4([4]byte{10, 30, 9, byte(i)}), Backend{Peer: 1, Tag: farTag})
		}
		sport := uint16(0)
		for _, n := range []int{1, 2, 3, 7, 63, 64, 5} {
			k.service(6, vipUnknown, indices[:n]...)
			got := map[byte]int{}
			for range 3*n + n/2 {
				sport++
				out := k.redirects("open", k.progs.Container, packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: sport, dport: 53}.of(f).frame())
				got[f.stripped(out)[f.l4At()-14-1]]++
			}
			for i := range n {
				if c := got[byte(i)]; c < 3 || c > 4 {
					t.Errorf("%d instances: the %dth got %d of %d flows, want 3 or 4", n, i, c, 3*n+n/2)
				}
			}
		}
	})
}
