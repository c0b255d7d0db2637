// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func open(t *testing.T) *Lab {
	t.Helper()
	l, err := Open()
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func ours(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(namedDir)
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestALabLeavesNothing(t *testing.T) {
	// What a lab leaves that was killed: a namespace, and the file of one that was never mounted.
	require.NoError(t, onThread(func() error {
		ns, err := netns.NewNamed(prefix + "left")
		if err != nil {
			return err
		}
		return ns.Close()
	}))
	require.NoError(t, os.WriteFile(namedDir+"/"+prefix+"broken", nil, 0o600))

	l := open(t)
	require.Empty(t, ours(t))
	_, err := Open()
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorIs(t, Clear(), ErrBusy)

	a, err := l.Namespace("a")
	require.NoError(t, err)
	b, err := l.Namespace("b")
	require.NoError(t, err)
	require.NoError(t, Cable(a, "x", b, "y", 1400))
	require.NoError(t, b.Links(func(h *netlink.Handle) error {
		link, err := h.LinkByName("y")
		require.NoError(t, err)
		require.Equal(t, 1400, link.Attrs().MTU)
		return AddAddress(h, "y", netip.MustParsePrefix("192.0.2.2/24"))
	}))
	require.Len(t, ours(t), 2)
	require.NoError(t, l.Close())
	require.Empty(t, ours(t))
	require.NoDirExists(t, Dir)
	require.NoError(t, open(t).Close())
}

func TestProcessesAreWhereAndAsTheyShouldBe(t *testing.T) {
	l := open(t)
	ns, err := l.Namespace("a")
	require.NoError(t, err)
	p, err := l.Start(Command{Namespace: ns, CPUs: []int{0}, Idle: true, Path: "sleep", Args: []string{"60"}})
	require.NoError(t, err)
	l.Keep(p)
	var cpus unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(p.PID(), &cpus))
	require.Equal(t, 1, cpus.Count())
	attr, err := unix.SchedGetAttr(p.PID(), 0)
	require.NoError(t, err)
	require.Equal(t, uint32(unix.SCHED_IDLE), attr.Policy)
	there, err := netns.GetFromPid(p.PID())
	require.NoError(t, err)
	require.True(t, there.Equal(ns.handle))
	require.NoError(t, there.Close())
	require.True(t, p.Running())

	// The next one is as usual again.
	q, err := l.Start(Command{Path: "sh", Args: []string{"-c", "echo wrong >&2; exit 3"}})
	require.NoError(t, err)
	err = q.Wait(t.Context())
	require.ErrorContains(t, err, "exit status 3: wrong")
	here, err := netns.Get()
	require.NoError(t, err)
	require.False(t, here.Equal(ns.handle))
	require.NoError(t, here.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Wait(ctx), context.DeadlineExceeded)
	require.False(t, p.Running())
}
