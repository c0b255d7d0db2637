// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// plug gives the worker a card of the machine's until the test ends, as eth0.
func (wk *worker) plug(name string) {
	home, err := netns.Get()
	wk.must(err)
	l, err := netlink.LinkByName(name)
	wk.must(err)
	wk.must(netlink.LinkSetNsFd(l, int(wk.ns)))
	rename := func(from, to string) (out netlink.Link) {
		netnstest.Within(wk.w.t, wk.ns, func() error {
			l, err := netlink.LinkByName(from)
			if err != nil {
				return err
			}
			out = l
			if err := netlink.LinkSetDown(l); err != nil {
				return err
			}
			return netlink.LinkSetName(l, to)
		})
		return out
	}
	rename(name, "eth0")
	wk.w.t.Cleanup(func() {
		defer home.Close()
		netnstest.Within(wk.w.t, wk.ns, func() error { return wk.dp.Detach(wk.uplink) })
		l := rename("eth0", name)
		netnstest.Within(wk.w.t, wk.ns, func() error { return netlink.LinkSetNsFd(l, int(home)) })
	})
}

// TestNativeCards has the drivers of two cards on one cable run the programs: nothing else is to be seen of that than that they say so. The
// machines of oak-kernels have such cards, and say their names.
func TestNativeCards(t *testing.T) {
	names := strings.Split(os.Getenv("OAK_CARDS"), ",")
	if len(names) != 2 {
		t.Skip("OAK_CARDS names no two network cards on one cable, as the machines of oak-kernels have")
	}
	for name, f := range map[string]func(*testing.T, *world){
		"connections": roundRobinLocalAndRemote, "datagrams": datagramsOfEverySize, "forged": nothingForged,
	} {
		t.Run(name, func(t *testing.T) {
			for _, decap := range []bool{true, false} {
				eachNative(t, names, decap, f)
			}
		})
	}
}

func eachNative(t *testing.T, names []string, decap bool, f func(*testing.T, *world)) {
	for _, inner := range []family{inIPv4, inIPv6} {
		for _, outer := range []family{inIPv4, inIPv6} {
			t.Run(inner.name+"Over"+outer.name, func(t *testing.T) {
				w := newWorldOver(t, inner, outer, datapath.Options{CardDecap: decap}, func(w *world) {
					for i, name := range names {
						w.workers[i].plug(name)
					}
					w.address()
				})
				for _, wk := range w.workers {
					want := features.Uplink{Ifindex: wk.uplink, Name: "eth0", XDP: features.XDPNative, Decap: decap}
					if got := wk.dp.Features().Uplinks; len(got) != 1 || got[0] != want {
						t.Fatalf("%s says of its uplink %+v, want %+v", wk.name, got, want)
					}
				}
				f(t, w)
				card := w.workers[1].stat("by_card").Packets
				if (card > 0) != decap {
					t.Errorf("%d packets came without outer headers, although it was asked for: %v", card, decap)
				}
			})
		}
	}
}
