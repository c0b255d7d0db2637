// SPDX-License-Identifier: Apache-2.0

package netnstest_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func here(t *testing.T) netns.NsHandle {
	t.Helper()
	ns, err := netns.Get()
	require.NoError(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func TestTheTestIsWhereItSays(t *testing.T) {
	before := here(t)
	var inner netns.NsHandle
	t.Run("inside", func(t *testing.T) {
		inner = netnstest.Enter(t)
		require.True(t, inner.Equal(here(t)))
		other := netnstest.New(t)
		require.True(t, inner.Equal(here(t)), "making another moves nobody")
		netnstest.Within(t, other, func() error {
			require.True(t, other.Equal(here(t)))
			return nil
		})
		require.True(t, inner.Equal(here(t)), "nor does working in it")
		path := netnstest.Bind(t, other, "c")
		bound, err := netns.GetFromPath(path)
		require.NoError(t, err)
		defer func() { _ = bound.Close() }()
		require.True(t, bound.Equal(other))
	})
	require.False(t, inner.IsOpen() && inner.Equal(before))
	require.True(t, before.Equal(here(t)))
}

// recorder is a test that only notes that it failed.
type recorder struct {
	testing.TB
	failed, fatal bool
}

func (r *recorder) Helper()      {}
func (r *recorder) FailNow()     { r.failed = true }
func (r *recorder) Fatal(...any) { r.fatal = true }

func TestFailureWithinIsOneOfTheTest(t *testing.T) {
	ns := netnstest.NewIPv4(t)
	r := &recorder{TB: t}
	netnstest.Within(r, ns, func() error { return nil })
	require.False(t, r.failed || r.fatal)
	netnstest.Within(r, ns, func() error { return netns.Set(-1) })
	require.True(t, r.fatal)
	netnstest.Within(r, ns, func() error { runtime.Goexit(); return nil })
	require.True(t, r.failed, "a check that fails within ends the goroutine; nobody waits for ever")
}
