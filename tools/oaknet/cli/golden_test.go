// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

var update = flag.Bool("update", false, "write what is printed now to testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to write it")
	assert.Equal(t, string(want), got)
}

func TestListings(t *testing.T) {
	w := known(t)
	for name, args := range map[string][]string{
		"service.txt":           {"service"},
		"service.json":          {"service", "list", "-o", "json"},
		"backend.txt":           {"backend"},
		"backend.wide.txt":      {"backend", "-o", "wide"},
		"backend.json":          {"backend", "-o", "json"},
		"endpoint.wide.txt":     {"endpoint", "-o", "wide"},
		"endpoint.json":         {"endpoint", "-o", "json"},
		"node.wide.txt":         {"node", "-o", "wide"},
		"node.json":             {"node", "-o", "json"},
		"flow.txt":              {"flow"},
		"flow.wide.txt":         {"flow", "list", "-o", "wide"},
		"flow.json":             {"flow", "-o", "json"},
		"route.wide.txt":        {"route", "-o", "wide"},
		"route.json":            {"route", "-o", "json", "show", "closest", "10.30.0.12", "source"},
		"resolve.rr.txt":        {"resolve", "10.30.0.100"},
		"resolve.closest.txt":   {"resolve", "10.30.0.101"},
		"resolve.service.txt":   {"resolve", "aaaa"},
		"resolve.instance.json": {"resolve", "aaaa.2", "-o", "json"},
		"resolve.none.txt":      {"resolve", "10.30.0.110"},
		"resolve.refused.txt":   {"resolve", "10.30.0.200"},
		"resolve.unknown.txt":   {"resolve", "10.30.0.9"},
		"resolve.namespace.txt": {"resolve", "10.18.0.9"},
		"resolve.outside.txt":   {"resolve", "198.51.100.7"},
		"resolve.six.txt":       {"resolve", "fdff:2000::1"},
		"flush.txt":             {"flush", "flow", "--dry-run", "--proto", "udp", "--dst", ":53"},
		"watch.txt":             {"watch", "--interval", "100ms", "--count", "2", "--sort", "service"},
		"watch.instance.txt":    {"watch", "--interval", "100ms", "--count", "1", "--by", "instance", "--proto", "tcp", "--limit", "2"},
		"drop.txt":              {"drop"},
		"drop.json":             {"drop", "-o", "json"},
		"drop.yaml":             {"drop", "-o", "yaml"},
		"node.sorted.txt":       {"node", "--sort", "-rx-bytes,worker", "--limit", "2", "--no-headers"},
		"drop.watch.yaml":       {"drop", "-o", "yaml", "-w", "--interval", "100ms", "--count", "2"},
		"drop.watch.txt":        {"drop", "show", "bad_tag", "--watch", "--interval", "100ms", "--count", "2"},
		"dump.txt":              {"dump", "local"},
		"dump.json":             {"dump", "heartbeat", "-o", "json"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := w.run(args...)
			assert.Zero(t, code)
			if name != "flush.txt" {
				assert.Empty(t, errs)
			}
			golden(t, name, out)
		})
	}
	t.Run("status", func(t *testing.T) { checkStatus(t, w) })
	t.Run("filters", func(t *testing.T) { checkFilters(t, w) })
	t.Run("metrics", func(t *testing.T) { checkMetrics(t, w) })
	t.Run("check", func(t *testing.T) { checkCheck(t, w) })
	t.Run("counters at 0", func(t *testing.T) { checkZeros(t, w) })
	t.Run("errors", func(t *testing.T) { checkErrors(t, w) })
	t.Run("completion", func(t *testing.T) { checkCompletion(t, w) })
	t.Run("flush", func(t *testing.T) { checkFlush(t, w) }) // comes last
}

// checkStatus compares the status once what differs between machines, kernels and versions of the maps is made the same.
func checkStatus(t *testing.T, w *world) {
	out, errs, code := w.run("status", "-o", "json")
	require.Zero(t, code, errs)
	var all []inspect.Status
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	s := all[0]
	assert.Equal(t, filepath.Join(w.bpffs, "oakestra", "w1", "v"+s.Version), s.Pins)
	assert.Len(t, s.Version, 8)
	s.Pins, s.Version = "PINS", "VERSION"
	for i := range s.Programs {
		p := &s.Programs[i]
		assert.NotZero(t, p.ID)
		assert.Len(t, p.Tag, 16)
		// The clock of the test is not the one by which programs were loaded; that it was read is seen in inspect.
		assert.NotNil(t, p.LoadedAt)
		loaded := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
		p.ID, p.Tag, p.LoadedAt = uint32(i+1), "0123456789abcdef", &loaded
	}
	s.Maps = slices.DeleteFunc(s.Maps, func(m inspect.MapUse) bool {
		return !slices.Contains([]string{"endpoints", "peers", "vips", "services", "backends", "flows4", "flows6", "events"}, m.Name)
	})
	assert.Greater(t, s.MapBytes, uint64(bpf.MaxBackends)*uint64(unsafe.Sizeof(bpf.Backend{})), "the array of instances alone takes as much")
	s.MapBytes = 9 << 20
	for i := range s.Maps {
		assert.NotNil(t, s.Maps[i].Bytes)
		bytes := uint64(4096)
		s.Maps[i].Bytes = &bytes
	}
	for name, f := range map[string]output.Format{"status.txt": output.Plain, "status.json": output.JSON} {
		var b strings.Builder
		require.NoError(t, writeStatus(&program{format: f}, &b, s))
		golden(t, name, b.String())
	}
	table, _, code := w.run("status", "show")
	assert.Zero(t, code)
	assert.Contains(t, table, "alive (heartbeat 0.3s ago)")
}

func checkZeros(t *testing.T, w *world) {
	out, _, code := w.run("drop", "--all", "-o", "json")
	assert.Zero(t, code)
	var all []inspect.Drop
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	zeros := 0
	for _, d := range all {
		if d.Packets == 0 {
			zeros++
		}
	}
	assert.Greater(t, zeros, 20)
	assert.Equal(t, "spoofed_source", all[0].Reason)
	out, _, code = w.run("dump", "heartbeat", "--all", "-o", "json")
	assert.Zero(t, code)
	assert.Equal(t, 1, strings.Count(out, `"key"`))
}
