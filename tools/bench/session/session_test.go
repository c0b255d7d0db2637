// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
)

func TestARunGoesOnWhereItBrokeOff(t *testing.T) {
	dir := t.TempDir()
	s, err := session.Open(dir, "v1")
	require.NoError(t, err)
	require.NoError(t, s.Add(session.Round{Part: "table", Number: 0, Results: map[string]load.Result{"a/udp": {Units: 1}, "b/udp": {Units: 2}}}))
	require.NoError(t, s.Add(session.Round{Part: "table", Number: 1, Results: map[string]load.Result{"a/udp": {Units: 3}}}))
	f, err := os.OpenFile(filepath.Join(dir, "v1", "rounds.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"part":"table","rou`) // killed while it wrote
	require.NoError(t, err)
	require.NoError(t, f.Close())

	s, err = session.Open(dir, "v1")
	require.NoError(t, err)
	require.Equal(t, map[int]bool{0: true}, s.Has("table", []string{"a/udp", "b/udp"}))
	require.Equal(t, map[int]bool{0: true, 1: true}, s.Has("table", []string{"a/udp"}))
	require.Empty(t, s.Has("growth", []string{"a/udp"}))
	require.NoError(t, s.Add(session.Round{Part: "table", Number: 1, Results: map[string]load.Result{"b/udp": {Units: 4}}}))
	s, err = session.Open(dir, "v1")
	require.NoError(t, err)
	require.Len(t, s.Rounds, 3)
	require.Equal(t, map[int]bool{0: true}, s.Has("table", []string{"a/udp", "b/udp"}), "the halves of round 1 are of different times")
}

func TestAnotherBuildBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	s, err := session.Open(dir, "v1")
	require.NoError(t, err)
	require.NoError(t, s.Add(session.Round{Part: "table", Results: map[string]load.Result{}}))
	s, err = session.Open(dir, "v2")
	require.NoError(t, err)
	require.Empty(t, s.Rounds)
}

func TestAForeignFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "v1"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "v1", "rounds.jsonl"), []byte("no JSON\n"), 0o600))
	_, err := session.Open(dir, "v1")
	require.ErrorContains(t, err, "remove the file to begin anew")
}
