// SPDX-License-Identifier: Apache-2.0

package device

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
)

// inNewNetNS moves the test into a network namespace of its own, which vanishes with the test's thread.
func inNewNetNS(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	before, err := netns.Get()
	require.NoError(t, err)
	ns, err := netns.New()
	require.NoError(t, err)
	t.Cleanup(func() {
		if netns.Set(before) == nil {
			runtime.UnlockOSThread()
		}
		_ = before.Close()
		_ = ns.Close()
	})
}
