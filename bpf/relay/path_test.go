// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/bpf/relay"
)

// within runs f on a thread in the namespace and brings the thread back.
func within(t *testing.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err == nil {
			if err = netns.Set(ns); err == nil {
				err = f()
			}
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			_ = home.Close()
		}
		done <- err
	}()
	require.NoError(t, <-done)
}

func newNS(t *testing.T) (ns netns.NsHandle) {
	t.Helper()
	home, err := netns.Get()
	require.NoError(t, err)
	defer func() { _ = home.Close() }()
	within(t, home, func() (err error) { ns, err = netns.New(); return err })
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// end makes a veth pair: one end, configured, in host, the other in middle.
func end(t *testing.T, host, middle netns.NsHandle, name, addr string) {
	t.Helper()
	within(t, host, func() error {
		la := netlink.NewLinkAttrs()
		la.Name = "eth0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: name, PeerNamespace: netlink.NsFd(int(middle))}); err != nil {
			return err
		}
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
		if _, err := relay.SetOffloads("eth0", false); err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	within(t, middle, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
}

// world is two hosts with a path between them, and a TCP connection over it.
type world struct {
	path           *relay.Path
	client, server net.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	a, b, middle := newNS(t), newNS(t), newNS(t)
	end(t, a, middle, "a", "192.0.2.1/24")
	end(t, b, middle, "b", "192.0.2.2/24")
	w := &world{}
	within(t, middle, func() (err error) {
		w.path, err = relay.Open("a", "b", relay.Way{}, relay.Way{})
		return err
	})
	t.Cleanup(func() { require.NoError(t, w.path.Close()) })

	var listener net.Listener
	within(t, b, func() (err error) { listener, err = net.Listen("tcp", "192.0.2.2:1"); return err })
	defer func() { require.NoError(t, listener.Close()) }()
	accepted := make(chan error, 1)
	go func() {
		var err error
		w.server, err = listener.Accept()
		accepted <- err
	}()
	within(t, a, func() (err error) {
		w.client, err = net.DialTimeout("tcp", "192.0.2.2:1", 5*time.Second)
		return err
	})
	require.NoError(t, <-accepted)
	t.Cleanup(func() { _ = w.client.Close(); _ = w.server.Close() })
	return w
}

// roundTrip has the server send one byte back.
func (w *world) roundTrip(t *testing.T, most time.Duration) (time.Duration, error) {
	t.Helper()
	deadline := time.Now().Add(most)
	require.NoError(t, w.client.SetDeadline(deadline))
	require.NoError(t, w.server.SetDeadline(deadline))
	start := time.Now()
	b := make([]byte, 1)
	if _, err := w.client.Write(b); err != nil {
		return 0, err
	}
	if _, err := w.server.Read(b); err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	if _, err := w.server.Write(b); err != nil {
		return 0, err
	}
	if _, err := w.client.Read(b); err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	return time.Since(start), nil
}

func TestFramesAreLate(t *testing.T) {
	w := newWorld(t)
	quick, err := w.roundTrip(t, 5*time.Second)
	require.NoError(t, err)

	w.path.Set(relay.Way{Delay: 40 * time.Millisecond}, relay.Way{Delay: 20 * time.Millisecond})
	late, err := w.roundTrip(t, 5*time.Second)
	require.NoError(t, err)
	require.GreaterOrEqual(t, late, 60*time.Millisecond)
	require.Less(t, late, time.Second)

	w.path.Set(relay.Way{}, relay.Way{})
	again, err := w.roundTrip(t, 5*time.Second)
	require.NoError(t, err)
	require.Less(t, again, 60*time.Millisecond)
	t.Logf("round trips: %s, %s, %s", quick, late, again)
}

func TestOneWayIsLost(t *testing.T) {
	w := newWorld(t)
	_, err := w.roundTrip(t, 5*time.Second)
	require.NoError(t, err)

	w.path.Set(relay.Way{}, relay.Way{Lost: true})
	_, err = w.roundTrip(t, 300*time.Millisecond)
	require.ErrorContains(t, err, "client", "what the lost way carries arrives, or the other way is lost too")
	_, ba := w.path.Stats()
	require.NotZero(t, ba.Lost)

	w.path.Set(relay.Way{}, relay.Way{})
	require.NoError(t, w.client.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = w.client.Read(make([]byte, 1)) // TCP sends it again
	require.NoError(t, err)
}

// TestEverythingArrivesInOrder also shows that no frame is too large, and that checksums are right: TCP would drop it.
func TestEverythingArrivesInOrder(t *testing.T) {
	w := newWorld(t)
	w.path.Set(relay.Way{Delay: 5 * time.Millisecond}, relay.Way{Delay: 5 * time.Millisecond})
	sent := make([]byte, 2<<20)
	_, err := rand.Read(sent)
	require.NoError(t, err)
	deadline := time.Now().Add(20 * time.Second)
	require.NoError(t, w.client.SetDeadline(deadline))
	require.NoError(t, w.server.SetDeadline(deadline))
	wrote := make(chan error, 1)
	go func() { _, err := w.client.Write(sent); wrote <- err }()
	got := make([]byte, len(sent))
	_, err = io.ReadFull(w.server, got)
	require.NoError(t, err)
	require.NoError(t, <-wrote)
	require.True(t, bytes.Equal(sent, got))
	ab, ba := w.path.Stats()
	require.Zero(t, ab.Lost)
	require.Zero(t, ba.Lost)
}

func TestOnlyWhatIsPickedPasses(t *testing.T) {
	w := newWorld(t)
	none := func([]byte) bool { return false }
	w.path.Set(relay.Way{Carries: none}, relay.Way{})
	_, err := w.roundTrip(t, 300*time.Millisecond)
	require.ErrorContains(t, err, "server")
	ab, _ := w.path.Stats()
	require.Zero(t, ab.Lost, "what is not meant for the path is not lost by it")
}

func TestAMissingInterfaceIsNamed(t *testing.T) {
	_, err := relay.Open("nosuch0", "nosuch1", relay.Way{}, relay.Way{})
	require.ErrorContains(t, err, "nosuch0")
}
