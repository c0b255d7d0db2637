// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

const exposedPort = 8080

// expose leads a port of the worker's own address to port 80 of a box.
func (wk *worker) expose(b *box) {
	m := wk.dp.Maps()
	wk.must(m.OwnAddrs.Put(bpf.AddrFrom(wk.outer), 1))
	wk.must(m.Exposed.Put(bpf.Port{Port: exposedPort, Proto: unix.IPPROTO_TCP},
		bpf.Exposed{Ifindex: uint32(b.host), Uplink: uint32(wk.uplink), Port: htons(80)}))
}

// call connects a process of another machine, as which a worker's own network namespace does, to the port that leads to a box.
func call(t *testing.T, from *worker, to *box) held {
	t.Helper()
	return holdFrom(t, from.ns, to, at(to.w.outer, strconv.Itoa(exposedPort)))
}

// eachOutside runs a test for callers outside of both families.
func eachOutside(t *testing.T, f func(*testing.T, *world)) {
	for _, fam := range []family{inIPv4, inIPv6} {
		t.Run(fam.name, func(t *testing.T) { f(t, newWorldOf(t, fam, fam)) })
	}
}

// TestForgottenCallersOutsideEndAtOnce: on an exposed port, what belongs to no flow is the host's, which answers as any closed port does.
func TestForgottenCallersOutsideEndAtOnce(t *testing.T) { eachOutside(t, forgottenCallersOutside) }

func forgottenCallersOutside(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	server := a.box()
	a.expose(server)
	h := call(t, b, server)
	a.forgetFlows()
	start := time.Now()
	if _, err := h.client.Write([]byte("still there?")); err != nil {
		t.Fatal(err)
	}
	_ = h.client.SetReadDeadline(start.Add(3 * time.Second))
	_, err := h.client.Read(make([]byte, 1))
	if took := time.Since(start); !errors.Is(err, syscall.ECONNRESET) || took > atOnce {
		t.Errorf("%v after %v, want ECONNRESET at once (drops %v)", err, took, a.drops())
	}
}

// TestEndpointGoesUnderCallersOutside detaches a container that callers outside have connections with: both ends are reset, and of an opener
// that it has not answered nothing is left.
func TestEndpointGoesUnderCallersOutside(t *testing.T) {
	eachOutside(t, endpointGoesUnderCallersOutside)
}

func endpointGoesUnderCallersOutside(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	a.withUpcalls(t)
	server := a.box()
	a.expose(server)
	h := call(t, b, server)
	for _, half := range halfOpen(a, b, server) {
		a.must(a.dp.Maps().Flows().Put(half.key, half.flow))
	}
	start := time.Now()
	a.must(a.dp.PurgeEndpoint(server.nsIP))
	h.resetWithin(t, start, resetLimit)
	var err error
	dead, all := 0, 0
	for _, f := range a.dp.Maps().Flows().All(&err) {
		all++
		if f.Flags&bpf.FlowDead != 0 {
			dead++
		}
	}
	a.must(err)
	if dead != 2 || all != 2 {
		t.Errorf("%d entries of %d are dead, want both of the connection and no others", dead, all)
	}
}

// entry is one direction of a flow.
type entry struct {
	key  bpf.FlowKey
	flow bpf.Flow
}

// halfOpen is a flow of a caller outside that has only knocked.
func halfOpen(a, b *worker, server *box) [2]entry {
	caller, own, ns := bpf.AddrFrom(b.outer), bpf.AddrFrom(a.outer), bpf.AddrFrom(server.nsIP)
	there := entry{
		bpf.FlowKey{Src: caller, Dst: own, Sport: 7, Dport: htons(exposedPort), Proto: unix.IPPROTO_TCP, From: bpf.FromOutside},
		bpf.Flow{Src: caller, Dst: ns, Sport: 7, Dport: htons(80), Flags: bpf.FlowRewrite, Seen: bpf.SeenSYN, To: uint32(server.host)},
	}
	return [2]entry{there, {there.key.Reverse(there.flow), bpf.Flow{Src: own, Dst: caller, Sport: htons(exposedPort), Dport: 7,
		Flags: bpf.FlowRewrite | bpf.FlowReply | bpf.FlowOut, To: uint32(a.uplink)}}}
}
