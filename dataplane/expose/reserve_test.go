// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func reserved(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(reservedPorts)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func want(list ...uint16) ports {
	out := ports{}
	for _, p := range list {
		out[p] = struct{}{}
	}
	return out
}

func TestReservationsOfOthersAreNeverTakenBack(t *testing.T) {
	netnstest.Enter(t)
	require.NoError(t, os.WriteFile(reservedPorts, []byte("22,8000-8002"), 0))
	file := filepath.Join(t.TempDir(), "reserved.json")
	r, err := openReservation(file)
	require.NoError(t, err)
	require.NoError(t, r.set(want(8001, 8003, 40000)))
	require.Equal(t, "22,8000-8003,40000", reserved(t))

	// After a crash the next one knows what was its own.
	r, err = openReservation(file)
	require.NoError(t, err)
	require.NoError(t, r.set(want(40000)))
	require.Equal(t, "22,8000-8002,40000", reserved(t))

	// Somebody loads the host's sysctls anew, which drops ours.
	require.NoError(t, os.WriteFile(reservedPorts, []byte("23"), 0))
	require.NoError(t, r.set(want(40000)))
	require.Equal(t, "23,40000", reserved(t))
	require.NoError(t, r.set(want()))
	require.Equal(t, "23", reserved(t))
	require.Empty(t, r.ours)
}

func TestCrashBetweenDiskAndKernelLeavesNothingBehind(t *testing.T) {
	netnstest.Enter(t)
	file := filepath.Join(t.TempDir(), "reserved.json")
	r, err := openReservation(file)
	require.NoError(t, err)
	require.NoError(t, r.store(want(40000))) // and no more: the kernel was not told
	r, err = openReservation(file)
	require.NoError(t, err)
	require.NoError(t, r.set(want(40000)))
	require.Equal(t, "40000", reserved(t))
	require.NoError(t, r.set(want()))
	require.Empty(t, reserved(t))
}

func TestTooManyRunsAreRefused(t *testing.T) {
	netnstest.Enter(t)
	r, err := openReservation(filepath.Join(t.TempDir(), "reserved.json"))
	require.NoError(t, err)
	many := ports{}
	for p := uint16(10000); p < 12000; p += 2 {
		many[p] = struct{}{}
	}
	require.ErrorContains(t, r.set(many), "expose fewer ports")
	require.Empty(t, reserved(t))
}

func TestRangesSurviveTheWayThroughText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := want(rapid.SliceOfN(rapid.Uint16Range(1, 65535), 0, 50).Draw(t, "ports")...)
		got, err := parseRanges(formatRanges(p.list()))
		require.NoError(t, err)
		require.Equal(t, p, got)
	})
	for _, bad := range []string{"x", "5-3", "1,", "70000", "1-70000"} {
		_, err := parseRanges(bad)
		require.Error(t, err, bad)
	}
}
