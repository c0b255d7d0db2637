// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

// TestProbe holds what is found on this kernel against its version.
func TestProbe(t *testing.T) {
	r, err := Kernel()
	require.NoError(t, err, "the test needs root")
	require.NotEmpty(t, r.Kernel)
	found := map[string]features.Feature{}
	for _, f := range r.Features {
		found[f.Name] = f
		assert.Equal(t, f.Found, f.Used, f.Name)
		if f.Least != "" && !older(t, r.Kernel, f.Least) {
			assert.True(t, f.Found, "%s is in Linux %s, and this is %s", f.Name, f.Least, r.Kernel)
		}
	}
	assert.Len(t, found, len(wanted()))
	assert.Equal(t, older(t, r.Kernel, "6.3"), !found[DecapL3].Found)

	none := room(1 << 20)
	have, err := none()
	require.NoError(t, err)
	assert.False(t, have, "no kernel has this flag")

	r, err = Kernel(TCX)
	require.NoError(t, err)
	for _, f := range r.Fallbacks() {
		if f.Name == TCX {
			assert.Contains(t, f.Fallback, "clsact")
			return
		}
	}
	t.Error("tcx is not among the fallbacks")
}

// older reports whether a kernel's release comes before a version.
func older(t *testing.T, release, version string) bool {
	t.Helper()
	var a, b [2]int
	for text, into := range map[string]*[2]int{release: &a, version: &b} {
		_, err := fmt.Sscanf(text, "%d.%d", &into[0], &into[1])
		require.NoError(t, err, text)
	}
	return slices.Compare(a[:], b[:]) < 0
}

func TestOldKernelIsRefusedByTheFeaturesName(t *testing.T) {
	have := func(yes bool) func() (bool, error) { return func() (bool, error) { return yes, nil } }
	all := []feature{
		{"old", "4.1", "everything", "", have(true)},
		{"replaced", "6.6", "links", "filters", have(false)},
		{"needed", "5.10", "delivery", "", have(false)},
	}
	r, err := probe(all)
	require.ErrorIs(t, err, ErrKernel)
	require.ErrorContains(t, err, "needed (Linux 5.10: delivery): boot Linux 6.1")
	assert.NotContains(t, err.Error(), "replaced")
	assert.Len(t, r.Fallbacks(), 2)

	_, err = probe([]feature{{"odd", "5.1", "x", "", func() (bool, error) { return false, errors.New("broken") }}})
	require.ErrorContains(t, err, "probe kernel for odd (x): broken")
}
