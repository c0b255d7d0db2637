// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newInterim makes the world with the programs that stand in front of a former build's, and what they leave to it.
func newInterim(t *testing.T, f pairing, openers, others bool) *kernel {
	t.Helper()
	k := newKernelOf(t, f)
	progs, err := LoadInterim(k.maps, Kernel{})
	must(t, err)
	k.progs.Close()
	k.progs = progs
	k.leaves(openers, others)
	return k
}

func (k *kernel) leaves(openers, others bool) {
	until := func(so bool) uint64 {
		if !so {
			return uint64(monotonic() - time.Second) // has been so, a second ago
		}
		return uint64(monotonic() + time.Minute)
	}
	must(k.t, k.maps.Takeover.Put(0, Takeover{Openers: until(openers), Others: until(others)}))
}

// TestInterimLeavesWhatNoFlowHas: unchanged, and without a trace of it.
func TestInterimLeavesWhatNoFlowHas(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newInterim(t, f, true, true)
		left := func(what string, ifindex uint32, uplink bool, frame []byte) {
			t.Helper()
			prog := k.progs.Container
			if uplink {
				prog = k.progs.UplinkIn
			}
			verdict, out := k.runFrom(ifindex, prog, bytes.Clone(frame))
			if verdict != verdictNext || !bytes.Equal(out, frame) || len(k.drops()) != 0 {
				t.Errorf("%s: verdict %#x, drops %v, packet\n% x\nwant it left as\n% x", what, verdict, k.drops(), out, frame)
			}
		}
		open, data := tcp(client, vipLocal, 4000, 80, flagSYN), tcp(client, vipLocal, 4000, 80, flagACK)
		datagram := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 5, dport: 6}
		fromPeer, later := tcp(farClient, server, 4000, 80, flagSYN), tcp(farClient, server, 4000, 80, flagACK)
		tunnel := func(p packet) []byte { return tunnelled(f.outside(peerOuter), serverTag, p.of(f).ip()) }
		left("an opener", loopback, false, open.of(f).frame())
		left("data", loopback, false, data.of(f).frame())
		left("a datagram", loopback, false, datagram.of(f).frame())
		left("a peer's opener", loopback, true, tunnel(fromPeer))
		left("a peer's data", loopback, true, tunnel(later))
		if n := len(entries(t, k.maps.Flows())); n != 0 {
			t.Errorf("%d entries were made", n)
		}

		k.leaves(false, true)
		left("data of a flow not copied yet", loopback, false, data.of(f).frame())
		left("a peer's data of a flow not copied yet", loopback, true, tunnel(later))
		for _, p := range []packet{open, data} {
			if verdict, _ := k.run(k.progs.Container, p.of(f).frame()); verdict != verdictRedirect {
				t.Errorf("a flow that is opened now: verdict %#x, drops %v", verdict, k.drops())
			}
		}
		for _, p := range []packet{fromPeer, later} {
			if verdict, _ := k.run(k.progs.UplinkIn, tunnel(p)); verdict != verdictRedirect {
				t.Errorf("a peer's flow that is opened now: verdict %#x, drops %v", verdict, k.drops())
			}
		}

		k.leaves(true, true)
		if verdict, _ := k.run(k.progs.Container, data.of(f).frame()); verdict != verdictRedirect {
			t.Errorf("a known flow: verdict %#x, drops %v", verdict, k.drops())
		}
		if verdict, _ := k.run(k.progs.Container, tcp(client, vipLocal, 4000, 80, flagRST).of(f).frame()); verdict != verdictRedirect {
			t.Errorf("its end: verdict %#x, drops %v", verdict, k.drops())
		}
		left("an opener on the key of an ended flow", loopback, false, open.of(f).frame())
		left("what comes after it", loopback, false, data.of(f).frame())

		k.leaves(false, false)
		if verdict, _ := k.run(k.progs.Container, tcp(client, vipLocal, 4001, 80, flagACK).of(f).frame()); verdict == verdictNext || k.drops()["no_flow"] != 1 {
			t.Errorf("a stray packet once the time is over: verdict %#x, drops %v; want no_flow", verdict, k.drops())
		}
	})
}

// TestInterimLeavesExposedPorts: callers outside, too.
func TestInterimLeavesExposedPorts(t *testing.T) {
	protocols(t, func(t *testing.T, s side, proto uint8) {
		k := newExposing(t)
		progs, err := LoadInterim(k.maps, Kernel{})
		must(t, err)
		defer progs.Close()
		frame := of(proto, s.outside, s.own, 4000, 8080, flagSYN).wire()
		k.leaves(true, true)
		if verdict, _ := k.run(progs.UplinkIn, bytes.Clone(frame)); verdict != verdictNext || len(entries(t, k.maps.Flows())) != 0 {
			t.Errorf("an opener: verdict %#x, want it left", verdict)
		}
		k.leaves(false, true)
		if verdict, _ := k.run(progs.UplinkIn, bytes.Clone(frame)); verdict != verdictRedirect {
			t.Errorf("an opener later: verdict %#x, want it delivered", verdict)
		}
	})
}
