// SPDX-License-Identifier: Apache-2.0

package upcall_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	greetings = "111111111111111111111111" // a service on the second worker
	callers   = "222222222222222222222222" // the service that the client belongs to
)

// script is the cluster: it answers the first worker's interest, and tells the second where the client lives only when it asks.
func script(t *testing.T, w *overlay) {
	a, b := w.workers[0], w.workers[1]
	stamp := func(n uint64) wire.Header { return wire.NewHeader(wire.Stamp{Epoch: 1, Revision: n}) }
	var asked, sourceAsked atomic.Bool
	address := w.inner.address
	server := wire.RouteInstance{Generation: one, InstanceIPv6: b.inst, Peer: b.id, NamespaceIPv6: b.nsIP, Tag: b.tag, State: wire.StateRunning}
	if b.inst.Is4() {
		server.InstanceIP, server.NamespaceIP = b.inst, b.nsIP
		server.InstanceIPv6, server.NamespaceIPv6 = netip.Addr{}, netip.Addr{}
	}
	a.publish = func() {
		for _, i := range a.routes.Interest().Addresses {
			if i.Address != address {
				require.NoError(t, a.routes.Resolved(wire.NetResolved{Header: stamp(1), Entries: []wire.ResolvedAddress{
					{Address: i.Address, Resolution: wire.ResolvedNone},
				}}))
				continue
			}
			if asked.Swap(true) {
				continue
			}
			time.Sleep(15 * time.Millisecond) // the way to the cluster and back
			require.NoError(t, a.routes.Apply(wire.NetRoutes{
				Header: stamp(1), ServiceID: greetings,
				Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: address}},
				Instances: []wire.RouteInstance{server},
			}))
			// Routes come before the peers that they name, as they may.
			require.NoError(t, a.peers.Apply(wire.NetPeers{Header: stamp(1), Peers: []wire.NetPeer{b.asPeer(greetings)}}))
			caller := a.asPeer(callers)
			caller.Sources = nil
			require.NoError(t, b.peers.Apply(wire.NetPeers{Header: stamp(1), Peers: []wire.NetPeer{caller}}))
		}
	}
	b.publish = func() {
		if !sourceAsked.Swap(true) {
			time.Sleep(15 * time.Millisecond)
			require.NoError(t, b.peers.Apply(wire.NetPeers{Header: stamp(2), Peers: []wire.NetPeer{a.asPeer(callers)}}))
		}
	}
}

func TestFirstPacketsArriveInOrder(t *testing.T) { eachPairing(t, firstPacketsArriveInOrder) }

func firstPacketsArriveInOrder(t *testing.T, inner, outer family) {
	w := newOverlay(t, inner, outer, script)
	a, b := w.workers[0], w.workers[1]
	const n = 50

	var server, client net.PacketConn
	b.inBox(func() (err error) { server, err = net.ListenPacket(inner.udp(), ":7000"); return err })
	a.inBox(func() (err error) { client, err = net.ListenPacket(inner.udp(), ":6000"); return err })
	defer func() { _ = server.Close(); _ = client.Close() }()
	go func() {
		buffer := make([]byte, 100)
		for {
			size, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			answer := fmt.Sprintf("%s from %s", buffer[:size], from)
			if _, err := server.WriteTo([]byte(answer), from); err != nil {
				return
			}
		}
	}()
	var want, got []string
	for i := range n {
		text := fmt.Sprint(i)
		_, err := client.WriteTo([]byte(text), net.UDPAddrFromAddrPort(netip.AddrPortFrom(inner.address, 7000)))
		require.NoError(t, err)
		want = append(want, fmt.Sprintf("%s from %s", text, netip.AddrPortFrom(a.inst, 6000)))
	}
	require.NoError(t, client.SetReadDeadline(time.Now().Add(3*time.Second)))
	buffer := make([]byte, 100)
	for range n {
		size, from, err := client.ReadFrom(buffer)
		require.NoError(t, err, "%d of %d answers; drops %v and %v; held %+v and %+v", len(got), n, a.drops(), b.drops(), a.queue.Stats(), b.queue.Stats())
		require.Equal(t, netip.AddrPortFrom(inner.address, 7000).String(), from.String())
		got = append(got, string(buffer[:size]))
	}
	require.Equal(t, want, got)
	require.Empty(t, a.drops())
	require.Empty(t, b.drops())
	require.NotZero(t, a.queue.Stats().Received, "nothing was held: the test shows nothing")
	require.NotZero(t, b.queue.Stats().Received, "the source was not asked for")
	for _, wk := range w.workers {
		require.Equal(t, wk.queue.Stats().Received, wk.queue.Stats().Returned)
		require.True(t, wk.peers.Peers()[0].Met)
	}
}

func TestNobodyAnswers(t *testing.T) {
	for _, inner := range []family{inIPv4, inIPv6} {
		t.Run(inner.name, func(t *testing.T) { nobodyAnswers(t, inner) })
	}
}

func nobodyAnswers(t *testing.T, inner family) {
	w := newOverlay(t, inner, inIPv4, script)
	a := w.workers[0]
	var dialed, wrote error
	start := time.Now()
	a.inBox(func() error {
		d := net.Dialer{Timeout: 3 * time.Second}
		_, dialed = d.Dial(inner.tcp(), netip.AddrPortFrom(inner.nobody, 80).String())
		conn, err := d.Dial(inner.udp(), netip.AddrPortFrom(inner.nobodyEither, 80).String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		_, wrote = conn.Read(make([]byte, 1))
		return nil
	})
	require.Less(t, time.Since(start), 2*time.Second, "%v; %v; drops %v; %+v", dialed, wrote, a.drops(), a.queue.Stats())
	require.True(t, errors.Is(dialed, syscall.ECONNREFUSED), "%v; drops %v", dialed, a.drops())
	require.True(t, errors.Is(wrote, syscall.ECONNREFUSED), "%v; drops %v", wrote, a.drops())
	drops := a.drops()
	require.Equal(t, []string{"no_service 2"}, drops, strings.Join(drops, ", "))
}

var one = wire.Generation{Placement: 1, Move: 1}

func (wk *worker) drops() (out []string) {
	names, err := bpf.DropReasons()
	require.NoError(wk.t, err)
	for n, name := range names {
		perCPU, _, err := wk.dp.Maps().Drops.Lookup(n)
		require.NoError(wk.t, err)
		var packets uint64
		for _, c := range perCPU {
			packets += c.Packets
		}
		if packets > 0 {
			out = append(out, fmt.Sprint(name, " ", packets))
		}
	}
	slices.Sort(out)
	return out
}
