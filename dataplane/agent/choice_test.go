// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/relay"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// followsWithin is how soon new connections go elsewhere once another worker is the closest: an idle peer's round trip is measured every 5 s,
// and a sample counts half.
const followsWithin = 12 * time.Second

// TestClosestFollowsTheWay: an instance on the same worker is the closest; then that whose worker has the least round trip, and when a
// delay moves from one way to the other, connections move the other way, those that are open staying where they are.
func TestClosestFollowsTheWay(t *testing.T) {
	eachFamily(t, func(t *testing.T, in family) {
		c := newChoice(t, in)
		b, far := c.far[0], c.far[1]
		c.tell(c.here, b.route, far.route)
		c.all("one is on the same worker", in.tcp(), c.closest, "here")

		late := relay.Way{Delay: 25 * time.Millisecond}
		b.path.Set(late, late)
		c.tell(b.route, far.route)
		c.eventuallyAll("b is far", "c")
		name, open := c.call(in.tcp(), c.closest)
		require.Equal(t, "c", name)
		defer func() { _ = open.Close() }()
		b.eventually("b is known to be far, not only farther", func() bool {
			_, conn := c.call(in.tcp(), in.instanceOf(b.route))
			require.NoError(t, conn.Close())
			h, _, err := c.maps.PeerHealth.Lookup(b.index)
			require.NoError(t, err)
			return h.RTT() > 40*time.Millisecond
		})

		b.path.Set(relay.Way{}, relay.Way{})
		far.path.Set(late, late)
		c.eventuallyAll("c is far now", "b")
		stays(t, open)
		far.path.Set(relay.Way{}, relay.Way{})
	})
}

// eventuallyAll calls on until all goes to the one, as a caller that opens some connections a second does.
func (c *choice) eventuallyAll(what, name string) {
	c.t.Helper()
	start := time.Now()
	for in := 0; in < 12; time.Sleep(50 * time.Millisecond) {
		require.Less(c.t, time.Since(start), followsWithin, what)
		got, conn := c.call(c.in.tcp(), c.closest)
		require.NoError(c.t, conn.Close())
		if in++; got != name {
			in = 0
		}
	}
	c.t.Logf("%s: all connections go to %s after %s", what, name, time.Since(start).Round(time.Millisecond))
}

// stays holds that a connection still answers.
func stays(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := io.WriteString(conn, "still")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	got := make([]byte, len("still"))
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, "still", string(got))
}

// TestClosestByDistance: while no round trip is known the nearest is the closest, and who does not say where it is comes last.
func TestClosestByDistance(t *testing.T) {
	munich, augsburg, berlin := wire.Location{Latitude: 48.14, Longitude: 11.58}, wire.Location{Latitude: 48.37, Longitude: 10.9}, wire.Location{Latitude: 52.52, Longitude: 13.4}
	eachFamily(t, func(t *testing.T, in family) {
		c := newChoice(t, in)
		b, far := c.far[0], c.far[1]
		c.locate(munich)
		for _, p := range c.far { // echoes are lost, and datagrams measure nothing
			noEcho := relay.Way{Carries: func(frame []byte) bool { return !isEcho(frame, in) }}
			p.path.Set(noEcho, noEcho)
			require.NoError(t, c.maps.PeerHealth.Put(p.index, bpf.PeerHealth{Heard: uint64(monotonic(t))}))
		}
		at := func(p *place, where *wire.Location) wire.RouteInstance {
			r := p.route
			r.Location = where
			return r
		}
		c.tell(at(b, &berlin), at(far, &augsburg))
		c.all("c is nearer", in.udp(), c.closest, "c")
		c.tell(at(b, &augsburg), at(far, &berlin))
		c.all("b is nearer now", in.udp(), c.closest, "b")
		c.tell(at(b, nil), at(far, &berlin))
		c.all("b does not say where it is", in.udp(), c.closest, "c")
		for _, p := range c.far {
			h, _, err := c.maps.PeerHealth.Lookup(p.index)
			require.NoError(t, err)
			require.Zero(t, h.Sampled, "a round trip was measured: the test shows nothing")
		}
	})
}

// isEcho tells echoes of the tunnel by the next protocol of their header.
func isEcho(frame []byte, outer family) bool {
	at := 14 + 20 + 8
	if outer.vip.Is6() {
		at = 14 + 40 + 8
	}
	return len(frame) > at+3 && frame[at] == 0x0c && frame[at+3] == 0xfd
}

// TestUnderutilizedFollowsFlowsAndLoads: who has connections open gets no more until the other has as many, and who reports full load gets none
// while the other has not four times as many.
func TestUnderutilizedFollowsFlowsAndLoads(t *testing.T) {
	eachFamily(t, func(t *testing.T, in family) {
		c := newChoice(t, in)
		b, far := c.far[0], c.far[1]
		loads := func(atB, atC float64) {
			t.Helper()
			one, other := b.route, far.route
			one.Load, other.Load = &atB, &atC
			c.tell(one, other)
		}
		hold := func(what string, to netip.Addr, name string) {
			t.Helper()
			for range 12 {
				got, conn := c.call(in.tcp(), to)
				t.Cleanup(func() { _ = conn.Close() })
				require.Equal(t, name, got, what)
			}
		}
		loads(0, 0)
		hold("b is called by itself", in.instanceOf(b.route), "b")
		hold("b has twelve connections", c.underutilized, "c")
		loads(0, 1)
		hold("c reports full load", c.underutilized, "b")
		loads(1, 0)
		hold("b does, and not c", c.underutilized, "c")
	})
}

// TestShortConnectionsAreShared: connections that end at once go by load alone, some to the busy one too.
func TestShortConnectionsAreShared(t *testing.T) {
	eachFamily(t, func(t *testing.T, in family) {
		c := newChoice(t, in)
		b, far := c.far[0], c.far[1]
		idle, full := 0.0, 1.0
		b.route.Load, far.route.Load = &idle, &full
		c.tell(b.route, far.route)
		got := c.calls(in.tcp(), c.underutilized, 100)
		t.Logf("load 0 %% and 100 %%: %v", got)
		require.InDelta(t, 80, got["b"], 12)
		require.Positive(t, got["c"], "who gets nothing is never found idle")
		b.route.Load, far.route.Load = &full, &idle
		c.tell(b.route, far.route)
		got = c.calls(in.tcp(), c.underutilized, 100)
		t.Logf("load 100 %% and 0 %%: %v", got)
		require.GreaterOrEqual(t, got["c"], 68)
	})
}
