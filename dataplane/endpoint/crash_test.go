// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// deadly is a kernel in which NetManager is killed at a call: nothing after it happens.
type deadly struct {
	*kernel
	at string
}

type killed struct{}

func (d deadly) die(at string) {
	if d.at == at {
		panic(killed{})
	}
}

func (d deadly) AttachContainer(ifindex int) error {
	d.die("attach")
	err := d.kernel.AttachContainer(ifindex)
	d.die("attached")
	return err
}

func (d deadly) Detach(ifindex int) error {
	d.die("detach")
	return d.kernel.Detach(ifindex)
}

func (d deadly) PurgeEndpoint(ns ...netip.Addr) error {
	d.die("purge")
	return d.kernel.PurgeEndpoint(ns...)
}

// killedAt does f with a NetManager that is killed at a call of the kernel, and reports whether it came to that.
func (w *worker) killedAt(at string, f func()) (died bool) {
	w.cfg.Datapath = deadly{w.kernel, at}
	defer func() {
		if p := recover(); p != nil {
			if _, died = p.(killed); !died {
				panic(p)
			}
		}
	}()
	f()
	return false
}

// next starts the next NetManager: its datapath forgets programs whose device is gone, as it does at every start.
func (w *worker) next(t *testing.T) {
	t.Helper()
	for index := range w.kernel.attached {
		if _, err := netlink.LinkByIndex(index); err != nil {
			delete(w.kernel.attached, index)
		}
	}
	w.restart(t)
}

// TestKilledWhileAttaching kills NetManager at each step of attaching, of taking over and of detaching. The next one, asked for the
// same again, has one endpoint, and nothing of the half-done one is left.
func TestKilledWhileAttaching(t *testing.T) {
	for _, at := range []string{"attach", "attached", "detach", "purge"} {
		t.Run(at, func(t *testing.T) {
			w := newWorker(t)
			ctx := context.Background()
			a, b := netnstest.NewBound(t, "a"), netnstest.NewBound(t, "b")
			died := w.killedAt(at, func() { _, _ = w.Attach(ctx, request(0, 1, a)) })
			require.Equal(t, strings.HasPrefix(at, "attach"), died)
			w.next(t)
			got, err := w.Attach(ctx, request(0, 1, a))
			require.NoError(t, err)
			requireOneEndpoint(t, w, got)
			requireDevices(t, 1)

			require.True(t, w.killedAt(at, func() { _, _ = w.Attach(ctx, request(0, 2, b)) }), "a take-over")
			w.next(t)
			got, err = w.Attach(ctx, request(0, 2, b))
			require.NoError(t, err)
			requireOneEndpoint(t, w, got)
			requireDevices(t, 1)

			died = w.killedAt(at, func() { _ = w.Set.Detach(ctx, got.InstanceKey, got.Generation) })
			require.Equal(t, !strings.HasPrefix(at, "attach"), died)
			w.kernel.purged = nil
			w.next(t)
			if died {
				require.Contains(t, w.kernel.purged, got.NamespaceIP, "the next owner of the address would be taken for the last")
			}
			require.NoError(t, w.Set.Detach(ctx, got.InstanceKey, got.Generation))
			require.Empty(t, w.List())
			requireMaps(t, w, 0)
			requireDevices(t, 0)
			require.Empty(t, w.kernel.attached)
		})
	}
}

// TestLostStateFolder starts with the devices and maps of containers that nobody remembers: nothing of them stays, flows least of
// all, since their addresses are given anew.
func TestLostStateFolder(t *testing.T) {
	w := newWorker(t)
	got, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	require.NoError(t, os.Remove(w.file))
	w.kernel.purged = nil
	w.next(t)
	require.Empty(t, w.List())
	requireMaps(t, w, 0)
	requireDevices(t, 0)
	require.Empty(t, w.kernel.attached)
	require.Contains(t, w.kernel.purged, got.NamespaceIP)
}

// requireDevices counts the host sides of containers.
func requireDevices(t *testing.T, want int) {
	t.Helper()
	links, err := netlink.LinkList()
	require.NoError(t, err)
	n := 0
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, namePrefix) {
			n++
		}
	}
	require.Equal(t, want, n)
}
