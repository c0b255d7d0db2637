// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// eachCardPairing runs a test in every pairing between workers whose cards take outer headers off, as far as veths are cards.
func eachCardPairing(t *testing.T, f func(*testing.T, *world)) {
	eachPairingWith(t, datapath.Options{CardDecap: true}.GenericCards(), f)
}

func eachPairingWith(t *testing.T, o datapath.Options, f func(*testing.T, *world)) {
	for _, inner := range []family{inIPv4, inIPv6} {
		for _, outer := range []family{inIPv4, inIPv6} {
			t.Run(inner.name+"Over"+outer.name, func(t *testing.T) { f(t, newWorldWith(t, inner, outer, o)) })
		}
	}
}

// asCards has the uplinks hand over packets as cards do: none larger than the cable carries.
func (w *world) asCards() {
	for _, wk := range w.workers {
		netnstest.Within(w.t, wk.ns, func() error {
			e, err := ethtool.NewEthtool()
			if err != nil {
				return err
			}
			defer e.Close()
			return e.Change("eth0", map[string]bool{
				"tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-udp_tnl-segmentation": false,
				"tx-udp-segmentation": false, "tx-generic-segmentation": false,
			})
		})
	}
}

// stat returns what a worker's programs have counted as something that is no drop.
func (wk *worker) stat(name string) (sum bpf.Counter) {
	wk.w.t.Helper()
	names, err := bpf.StatNames()
	wk.must(err)
	for n, is := range names {
		if is != name {
			continue
		}
		perCPU, _, err := wk.dp.Maps().Stats.Lookup(n)
		wk.must(err)
		for _, c := range perCPU {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
	}
	return sum
}

// decapped holds that cards took the outer headers off what came to the workers: of all of it, or of some.
func (w *world) decapped(all bool) {
	w.t.Helper()
	for _, wk := range w.workers {
		// The last packets of a connection are still coming when it is closed.
		eventually(w.t, "that cards take outer headers off", func() bool {
			card, tunnel := wk.stat("by_card"), wk.stat("from_tunnel")
			return card.Packets > 0 && (!all || card == tunnel)
		})
		w.t.Logf("%s: %d packets, %d without outer headers", wk.name, wk.stat("from_tunnel").Packets, wk.stat("by_card").Packets)
	}
}

// TestCardsDecapsulate has traffic of every kind cross workers whose cards take outer headers off.
func TestCardsDecapsulate(t *testing.T) {
	for name, f := range map[string]func(*testing.T, *world){
		"connections": roundRobinLocalAndRemote, "bulk": bulkBothWays, "datagrams": datagramsOfEverySize, "ping": ping,
		"pieces": largeDatagrams, "fullMTU": containersOfAFullMTU,
	} {
		t.Run(name, func(t *testing.T) {
			eachCardPairing(t, func(t *testing.T, w *world) {
				w.asCards()
				f(t, w)
				if name != "pieces" { // whose answers there are none of
					w.decapped(true)
				}
			})
		})
	}
}

// TestCardsLeaveSuperPackets has uplinks hand over what no card does: packets that are not segmented. Those are the uplink's program's. To the
// program in its own driver a veth hands over segments alone.
func TestCardsLeaveSuperPackets(t *testing.T) {
	decap := datapath.Options{CardDecap: true}
	for name, o := range map[string]datapath.Options{"generic": decap.GenericCards(), "driver": decap.AnyCards()} {
		t.Run(name, func(t *testing.T) {
			eachPairingWith(t, o, func(t *testing.T, w *world) {
				bulkBothWays(t, w)
				w.decapped(name == "driver")
				segmentedDatagrams(t, w)
			})
		})
	}
}

// TestCardsAreNotFooled goes through everything forged with cards that take outer headers off: what is dropped, why, and what is
// counted, is the same.
func TestCardsAreNotFooled(t *testing.T) {
	eachCardPairing(t, func(t *testing.T, w *world) {
		w.asCards()
		nothingForged(t, w)
	})
}

// TestCardIsExact counts packet by packet and byte by byte, as without a card.
func TestCardIsExact(t *testing.T) {
	eachCardPairing(t, func(t *testing.T, w *world) {
		a, b := w.workers[0], w.workers[1]
		server, caller := b.box(), a.box()
		b.admit(caller)
		seen := server.sniff(t)
		right := udp(caller.inst, server.nsIP, 4000, 5000, []byte("x"))
		outer := udp(a.outer, b.outer, 50000, tunnelPort, gpe(server.tag, w.inner.next, right))
		wrong := udp(a.outer, b.outer, 50000, tunnelPort, gpe(server.tag+1, w.inner.next, right))
		before, was := b.stat("from_tunnel"), b.drops()
		const rounds = 10
		for range rounds {
			inject(t, a, b.outer, outer)
			inject(t, a, b.outer, wrong)
		}
		got := 0
		eventually(t, "delivery", func() bool { got += seen(); return got == rounds && b.drops()["bad_tag"] == was["bad_tag"]+rounds })
		now := b.stat("from_tunnel")
		packets, bytes := now.Packets-before.Packets, now.Bytes-before.Bytes
		if want := uint64(2 * rounds * (14 + len(outer))); packets != 2*rounds || bytes != want {
			t.Errorf("%d packets of %d bytes have come out of the tunnel, want %d of %d", packets, bytes, 2*rounds, want)
		}
		if card := b.stat("by_card"); card != now {
			t.Errorf("the card took the outer headers off %+v of %+v", card, now)
		}
	})
}

// TestCardIsTraced sees from a trace who took the outer headers off.
func TestCardIsTraced(t *testing.T) {
	eachCardPairing(t, func(t *testing.T, w *world) {
		a, b := w.workers[0], w.workers[1]
		server, caller := b.box(), a.box()
		b.admit(caller)
		reader, err := b.dp.Maps().ReadTraces()
		a.must(err)
		defer reader.Close()
		a.must(b.dp.Maps().Trace.Put(0, bpf.Trace{Until: 1 << 62, Proto: unix.IPPROTO_UDP}))
		right := udp(caller.inst, server.nsIP, 4000, 5000, []byte("x"))
		inject(t, a, b.outer, udp(a.outer, b.outer, 50000, tunnelPort, gpe(server.tag, w.inner.next, right)))
		e, ok, err := reader.Next(time.Now().Add(2 * time.Second))
		a.must(err)
		if !ok || e.Step != bpf.StepCard || e.Src != bpf.AddrFrom(caller.inst) || e.Where != bpf.FromPeer|1 || int(e.Ifindex) != b.uplink {
			t.Errorf("told %v: %+v; want that the card took the outer headers off a packet of peer 1", ok, e)
		}
	})
}

// TestMetadataOfOthersIsNotBelieved has another program leave in front of packets what ours might, but for one thing each. The packets come
// with inner addresses and without the tunnel, and stay refused.
func TestMetadataOfOthersIsNotBelieved(t *testing.T) {
	for _, inner := range []family{inIPv4, inIPv6} {
		t.Run(inner.name, func(t *testing.T) {
			w := newWorldWith(t, inner, inIPv4, datapath.Options{CardDecap: true})
			a, b := w.workers[0], w.workers[1]
			server, caller := b.box(), a.box()
			b.admit(caller)
			seen := server.sniff(t)
			right := udp(caller.inst, server.nsIP, 4000, 5000, []byte("x"))
			netnstest.Within(t, a.ns, func() error { return a.dp.Detach(a.uplink) }) // which would keep its overlay addresses in
			b.must(b.dp.Maps().Peers.Put(2, bpf.Peer{State: bpf.PeerGreeting}))
			said := []uint32{0x6f616b01, uint32(b.uplink), 1, server.tag, uint32(inIPv4.index) << 8}
			with := func(at int, to uint32) []uint32 {
				out := append([]uint32{}, said...)
				out[at] = to
				return out
			}
			for _, c := range []struct {
				name, reason string
				said         []uint32
			}{
				{"nothing", "overlay_on_uplink", nil},
				{"too little", "overlay_on_uplink", said[:4]},
				{"another mark", "overlay_on_uplink", with(0, 0x6f616b02)},
				{"another card", "overlay_on_uplink", with(1, uint32(b.uplink)+1)},
				{"a tag that is none", "overlay_on_uplink", with(3, 1<<24|server.tag)},
				{"an outer family that is none", "overlay_on_uplink", with(4, 2<<8)},
				{"more than there is to say", "overlay_on_uplink", with(4, 1<<16)},
				{"peer 0", "unknown_peer", with(2, 0)},
				{"a peer that is not located", "unknown_peer", with(2, 2)},
				{"a peer beyond all", "unknown_peer", with(2, bpf.MaxPeers)},
				{"another tag", "bad_tag", with(3, server.tag+1)},
			} {
				t.Run(c.name, func(t *testing.T) {
					detach := leave(t, b, c.said)
					defer detach()
					before := b.drops()[c.reason]
					eventually(t, "the drop "+c.reason, func() bool {
						a.sendFrame(t, right)
						time.Sleep(5 * time.Millisecond)
						return b.drops()[c.reason] > before
					})
					if n := seen(); n != 0 {
						t.Errorf("%d packets reached the container", n)
					}
				})
			}
			// All of it right, it is as if our own had said so: the test above would see a packet that gets in.
			detach := leave(t, b, said)
			defer detach()
			a.sendFrame(t, right)
			eventually(t, "delivery", func() bool { return seen() == 1 })
		})
	}
}

// leave hangs a program on a worker's uplink that leaves these words in front of every packet.
func leave(t *testing.T, wk *worker, words []uint32) (detach func()) {
	t.Helper()
	meta := int32(4 * len(words))
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R2, -meta), asm.FnXdpAdjustMeta.Call(), asm.JNE.Imm(asm.R0, 0, "out"),
		asm.LoadMem(asm.R2, asm.R6, 8, asm.Word), // data_meta
		asm.LoadMem(asm.R3, asm.R6, 0, asm.Word), // data
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, meta), asm.JGT.Reg(asm.R4, asm.R3, "out"),
	}
	for i, word := range words {
		code = append(code, asm.StoreImm(asm.R2, int16(4*i), int64(int32(word)), asm.Word))
	}
	code = append(code, asm.Mov.Imm(asm.R0, 2).WithSymbol("out"), asm.Return())
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Dual BSD/GPL", Instructions: code})
	wk.must(err)
	var on link.Link
	netnstest.Within(t, wk.ns, func() error {
		on, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: wk.uplink, Flags: link.XDPGenericMode})
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		return nil
	})
	return func() { _ = on.Close(); _ = prog.Close() }
}

// TestMetadataIsNotLookedForUnasked: without the setting, what is in front of a packet means nothing.
func TestMetadataIsNotLookedForUnasked(t *testing.T) {
	w := newWorldOf(t, inIPv4, inIPv4)
	a, b := w.workers[0], w.workers[1]
	server, caller := b.box(), a.box()
	b.admit(caller)
	seen := server.sniff(t)
	netnstest.Within(t, a.ns, func() error { return a.dp.Detach(a.uplink) })
	defer leave(t, b, []uint32{0x6f616b01, uint32(b.uplink), 1, server.tag, 0})()
	eventually(t, "the drop overlay_on_uplink", func() bool {
		a.sendFrame(t, udp(caller.inst, server.nsIP, 4000, 5000, []byte("x")))
		time.Sleep(5 * time.Millisecond)
		return b.drops()["overlay_on_uplink"] > 0
	})
	if n := seen(); n != 0 {
		t.Errorf("%d packets reached the container", n)
	}
}

// TestCardsAndCaptures has somebody look at all packets of the uplinks, whom the kernel gives the same memory.
func TestCardsAndCaptures(t *testing.T) {
	eachCardPairing(t, func(t *testing.T, w *world) {
		w.asCards()
		for _, wk := range w.workers {
			var fd int
			netnstest.Within(t, wk.ns, func() (err error) {
				fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
				return err
			})
			defer unix.Close(fd)
		}
		bulkBothWays(t, w)
		w.decapped(true)
	})
}

// TestCardsOutliveNetManager closes and opens the datapath again, with and without the setting, under one connection.
func TestCardsOutliveNetManager(t *testing.T) {
	eachCardPairing(t, func(t *testing.T, w *world) {
		w.asCards()
		b := w.workers[1]
		far := b.box()
		client := w.workers[0].box()
		bulkBetween(t, w, client, far)
		again := func(o datapath.Options) {
			t.Helper()
			b.must(b.dp.Close())
			bulkAgain(t, w, client)
			b.options = o
			b.start()
			bulkAgain(t, w, client)
		}
		before := b.stat("by_card").Packets
		on := b.options
		again(on)
		if now := b.stat("by_card").Packets; now < before+1000 {
			t.Errorf("%d packets without outer headers after %d: the card has stopped", now, before)
		}
		off := on
		off.CardDecap = false
		again(off)
		before = b.stat("by_card").Packets
		bulkAgain(t, w, client)
		if now := b.stat("by_card").Packets; now != before {
			t.Errorf("%d packets came without outer headers although nobody asked for that", now-before)
		}
		again(on)
		if now := b.stat("by_card").Packets; now < before+1000 {
			t.Errorf("%d packets without outer headers after %d: the card has not begun again", now, before)
		}
	})
}
