// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/relay"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// slowCable joins two network namespaces as cable does, by a path that can be made bad.
func slowCable(t *testing.T, a, b netns.NsHandle, f family) *relay.Path {
	t.Helper()
	middle := netnstest.New(t)
	for i, ns := range []netns.NsHandle{a, b} {
		within(t, ns, func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "up"
			require.NoError(t, netlink.LinkAdd(&netlink.Veth{
				LinkAttrs: attrs, PeerName: []string{"a", "b"}[i], PeerNamespace: netlink.NsFd(int(middle)),
			}))
			_, err := relay.SetOffloads("up", false)
			require.NoError(t, err)
		})
	}
	var path *relay.Path
	within(t, middle, func() {
		for _, name := range []string{"a", "b"} {
			up(t, name, "")
		}
		var err error
		path, err = relay.Open("a", "b", relay.Way{}, relay.Way{})
		require.NoError(t, err)
	})
	t.Cleanup(func() { require.NoError(t, path.Close()) })
	address(t, a, b, f)
	return path
}

// health is the one of the worker's only peer.
func (w *worker) health(maps *bpf.Maps) bpf.PeerHealth {
	w.t.Helper()
	h, _, err := maps.PeerHealth.Lookup(1)
	require.NoError(w.t, err)
	return h
}

// TestTheWayToAPeer: a round trip is measured, and again when it changes; a peer that does not hear us is passed over after a while, keeps
// its flows, and is back as soon as it hears us again.
func TestTheWayToAPeer(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) { wayToAPeer(t, f) })
}

func wayToAPeer(t *testing.T, f family) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	a.cfg.EchoEvery, b.cfg.EchoEvery = 100*time.Millisecond, 100*time.Millisecond
	path := slowCable(t, a.ns, b.ns, f)
	a.join()
	b.join()
	k := newTalk(t, f, a, b, func() {})
	dir, err := datapath.MapDir(a.cfg.BPFFS, a.cfg.Name)
	require.NoError(t, err)
	maps, err := bpf.OpenMaps(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, maps.Close()) }()

	a.eventually("the way is measured", func() bool { return a.health(maps).Sampled != 0 })
	require.Less(t, a.health(maps).RTT(), 20*time.Millisecond)
	late := relay.Way{Delay: 30 * time.Millisecond}
	path.Set(late, late)
	a.eventually("it is longer", func() bool { return a.health(maps).RTT() > 50*time.Millisecond })
	path.Set(relay.Way{}, relay.Way{})
	a.eventually("it is short again", func() bool { return a.health(maps).RTT() < 10*time.Millisecond })

	// b hears nothing of a any more, whereas a hears b: its hellos, its echoes.
	path.Set(relay.Way{Lost: true}, relay.Way{})
	a.eventually("there is no answer", func() bool { return a.health(maps).Asked != 0 })
	_, err = io.WriteString(k.there, "early words")
	require.NoError(t, err)
	a.eventually("it is silent", func() bool {
		h := a.health(maps)
		h.Asked -= uint64(bpf.SilenceLimit) // as if that had been 10 s ago
		require.NoError(t, maps.PeerHealth.Put(1, h))
		time.Sleep(100 * time.Millisecond) // NetManager may have been writing it
		return a.health(maps).Silent(monotonic(t))
	})
	before := drops(t, maps)["no_backend"]
	_, err = k.dial(300 * time.Millisecond)
	require.Error(t, err)
	require.Greater(t, drops(t, maps)["no_backend"], before, "the connection was given to the silent peer")

	path.Set(relay.Way{}, relay.Way{})
	start := time.Now()
	a.eventually("it is back", func() bool { return !a.health(maps).Silent(monotonic(t)) })
	require.Less(t, time.Since(start), 3*time.Second)
	conn, err := k.dial(5 * time.Second)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	got := make([]byte, len("early words"))
	require.NoError(t, k.here.SetReadDeadline(time.Now().Add(15*time.Second)))
	_, err = io.ReadFull(k.here, got)
	require.NoError(t, err)
	require.Equal(t, "early words", string(got))
	k.both(15 * time.Second)
}

// drops counts dropped packets by reason.
func drops(t *testing.T, maps *bpf.Maps) map[string]uint64 {
	t.Helper()
	names, err := bpf.DropReasons()
	require.NoError(t, err)
	got := map[string]uint64{}
	for n, name := range names {
		perCPU, _, err := maps.Drops.Lookup(n)
		require.NoError(t, err)
		for _, c := range perCPU {
			got[name] += c.Packets
		}
	}
	return got
}

func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return time.Duration(now.Nano())
}
