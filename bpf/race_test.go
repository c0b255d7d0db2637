// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// TestFirstPacketsOnTwoProcessors sends the first two datagrams of a flow at the same time: both go to the same instance, and the
// flow has one entry a direction.
func TestFirstPacketsOnTwoProcessors(t *testing.T) {
	k := newKernel(t)
	k.backend(4, server, serverInst, Backend{Ifindex: otherLink, Tag: serverTag, Service: 6})
	k.backend(5, gateway, serverInst, Backend{Ifindex: otherLink, Tag: serverTag, Service: 6})
	k.service(6, vipUnknown, 4, 5)
	const flows = 2000
	var to [2][flows]string
	var at [2]atomic.Int64
	var wg sync.WaitGroup
	for n := range to {
		wg.Go(func() {
			out := make([]byte, 128)
			for i := range flows {
				frame := packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: uint16(i), dport: 53}.frame()
				at[n].Add(1)
				for at[1-n].Load() < at[n].Load() { // the other one is not ready yet
					runtime.Gosched()
				}
				opts := &ebpf.RunOptions{Data: frame, DataOut: out}
				if _, err := k.progs.Container.Run(opts); err == nil {
					to[n][i] = string(opts.DataOut[30:34])
				}
			}
		})
	}
	wg.Wait()
	differ := 0
	for i := range flows {
		if to[0][i] != to[1][i] {
			differ++
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d flows began at two instances", differ, flows)
	}
	if n := len(entries(t, k.maps.Flows())); n != 2*flows {
		t.Errorf("%d entries, want %d", n, 2*flows)
	}
}

// TestSameReplyKeyOnTwoProcessors opens two flows at the same time whose answers could not be told apart: one socket talks to one instance under
// two of its addresses. Each flow gets its own answers, by another port if need be.
func TestSameReplyKeyOnTwoProcessors(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.service(6, vipUnknown, 1)
		const flows = 2000
		vips := [2]netip.Addr{vipLocal, vipUnknown}
		var at [2]atomic.Int64
		var wg sync.WaitGroup
		for n := range vips {
			wg.Go(func() {
				out := make([]byte, 128)
				for i := range flows {
					frame := packet{src: client, dst: vips[n], proto: unix.IPPROTO_UDP, sport: uint16(i), dport: 53}.of(f).frame()
					at[n].Add(1)
					for at[1-n].Load() < at[n].Load() {
						runtime.Gosched()
					}
					if _, err := k.progs.Container.Run(&ebpf.RunOptions{Data: frame, DataOut: out}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		all := entries(t, k.maps.Flows())
		wrong := 0
		for key, flow := range all {
			if back, ok := all[key.Reverse(flow)]; !ok || key.Reverse(flow).Reverse(back) != key || back.Flags&FlowReply == flow.Flags&FlowReply {
				wrong++
			}
		}
		if wrong > 0 || len(all) != 4*flows || len(k.drops()) > 0 {
			t.Errorf("%d of %d entries have no other direction of their own, want none of %d; drops %v", wrong, len(all), 4*flows, k.drops())
		}
	})
}
