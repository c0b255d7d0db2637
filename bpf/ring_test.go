// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// onOneProcessor keeps the test, and with it the programs that it runs, on the processor that it is on.
func onOneProcessor(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var all, one unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	for n := range len(all) * 64 {
		if all.IsSet(n) {
			one.Set(n)
			break
		}
	}
	must(t, unix.SchedSetaffinity(0, &one))
	t.Cleanup(func() {
		must(t, unix.SchedSetaffinity(0, &all))
		runtime.UnlockOSThread()
	})
}

// TestRingsLeaveRoom: however many processors there are, what has not begun and what has ended takes half of the flows at most.
func TestRingsLeaveRoom(t *testing.T) {
	for processors, want := range map[int]uint32{1: 4096, 8: 4096, 9: 2048, 64: 512, 512: 64, 8192: 64} {
		size, err := Kernel{Processors: processors}.ring()
		if err != nil || size != want {
			t.Errorf("%d processors have rings of %d (%v), want %d", processors, size, err, want)
		}
	}
	onOneProcessor(t)
	has, err := probe.HaveRoom(probe.RoomDecapIPv4 | probe.RoomDecapIPv6)
	must(t, err)
	k := newKernelOn(t, pairing{}, Kernel{DecapL3: has, Processors: 512})
	for port := range uint16(300) {
		k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, 1+port, 80, flagSYN).frame())
	}
	if n := len(entries(t, k.maps.Flows())); n != 2*leastRing {
		t.Errorf("a flood leaves %d entries, want two each for %d flows", n, leastRing)
	}
}

// TestFlowOutlivesTheRingsMemoryOfItsPredecessor: a flow that begins on the key of one that has ended is in the ring twice. It goes when its own
// turn has come, not that of the other, and not at all once it is established.
func TestFlowOutlivesTheRingsMemoryOfItsPredecessor(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		onOneProcessor(t)
		k := newKernelOf(t, f)
		opener := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 9, dport: 1}.of(f).frame()
		others := uint16(0)
		push := func(n int) {
			for range n {
				others++
				binary.BigEndian.PutUint16(opener[f.l4At()+2:], others)
				k.redirects("another opener", k.progs.Container, opener)
			}
		}
		knock := func(sport uint16) {
			k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, sport, 80, flagSYN).of(f).frame())
		}
		answer := func(sport uint16, flags uint8) uint32 {
			verdict, _ := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, sport, flags).of(f).ip()))
			return verdict
		}
		const ring = int(mapsOakLimitsOAK_RING)
		has := func(sport uint16) bool {
			for key := range entries(t, k.maps.Flows()) {
				if key.Proto == unix.IPPROTO_TCP && key.Sport == be16(sport) {
					return true
				}
			}
			return false
		}
		for sport := range uint16(3) {
			knock(4000 + sport)
			answer(4000+sport, flagRST|flagACK)
		}
		push(ring - 100)
		for sport := range uint16(3) {
			knock(4000 + sport)
		}
		answer(4001, flagSYN|flagACK)
		k.redirects("ACK", k.progs.Container, tcp(client, vipRemote, 4001, 80, flagACK).of(f).frame())
		push(200)
		if !has(4000) || !has(4001) || !has(4002) {
			t.Errorf("when the turn of their predecessors has come: half-open %v, %v; established %v; want all", has(4000), has(4002), has(4001))
		}
		push(ring)
		if has(4000) || has(4002) || !has(4001) {
			t.Errorf("when their own turn has come: half-open %v, %v; established %v; want the last alone", has(4000), has(4002), has(4001))
		}
	})
}
