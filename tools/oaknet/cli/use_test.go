// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/check"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func checkFilters(t *testing.T, w *world) {
	for args, want := range map[string]int{
		"flow":                                       12,
		"flow --proto tcp":                           9,
		"flow list --proto icmp":                     1,
		"flow --service 10.30.0.100":                 10,
		"flow --service 10.30.0.12":                  1,
		"flow --service " + serviceA:                 10, // without the one to a copy that is gone, and the one of which only the reply is left
		"flow --service aaaa --proto udp":            2,
		"flow --state closed":                        2,
		"flow --state syn-sent":                      3,
		"flow --node 1":                              11,
		"flow --node 1111 --state closing":           1,
		"flow --node 2":                              0,
		"flow --proto udp,icmp":                      3,
		"flow --state closed --state syn-sent":       5,
		"flow --src 10.18.0.2 --port 53":             2,
		"flow --src 10.30.0.0/24":                    12, // by what they are translated to
		"flow --src [::1]:9":                         0,
		"flow --src :40001":                          1,
		"flow --dst 10.18.0.66:80":                   7,
		"flow --dst 10.30.0.12/32 --proto tcp":       1,
		"flow show 10.30.0.50":                       1,
		"service show bbbb":                          1,
		"service show 10.30.0.101 " + serviceB:       2,
		"backend show " + serviceA:                   3,
		"backend show " + serviceA + ".2 10.18.0.67": 2,
		"endpoint show oak1":                         1,
		"node show 192.0.2.2:50103":                  1,
		"drop show bad_tag":                          1,
	} {
		out, errs, code := w.run(append(strings.Fields(args), "-o", "json")...)
		assert.Zero(t, code, "%s: %s", args, errs)
		var rows []map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &rows), args)
		assert.Len(t, rows, want, args)
	}
	out, errs, code := w.runWith(map[string]string{"OAK_NET_PROTO": "udp", "OAK_NET_OUTPUT": "json", "OAK_NET_WORKER": "w1"}, "flow")
	assert.Zero(t, code, errs)
	assert.Equal(t, 2, strings.Count(out, `"protocol": "udp"`))
	assert.NotContains(t, out, "tcp")
}

// checkMetrics holds the text against the samples; that the figures are right is tested where they are made.
func checkMetrics(t *testing.T, w *world) {
	text, errs, code := w.run("metrics")
	assert.Zero(t, code, errs)
	for _, line := range []string{
		"# TYPE oakestra_dataplane_drop_packets_total counter",
		`oakestra_dataplane_drop_packets_total{reason="spoofed_source"} 40`,
		`oakestra_dataplane_kernel_feature{feature="tcx"} 0`,
		`oakestra_dataplane_peer_packets_total{direction="tx",peer="111111111111111111111111"} 15`,
		"oakestra_dataplane_scrape_errors 0",
	} {
		assert.Contains(t, text, line+"\n")
	}
	out, errs, code := w.run("metrics", "-o", "json")
	assert.Zero(t, code, errs)
	var samples []inspect.Sample
	require.NoError(t, json.Unmarshal([]byte(out), &samples))
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
	assert.Len(t, samples, len(lines))
	assert.Contains(t, samples, inspect.Sample{
		Name: "oakestra_dataplane_packets_total", Type: "counter", Labels: map[string]string{"kind": "to_tunnel"}, Value: 15,
		Help: "Packets handled, by what was done; upcall are those sent up to NetManager.",
	})
}

// checkCheck has a worker judged whose tunnel device has no guard; what is judged how is tested in the package that judges.
func checkCheck(t *testing.T, w *world) {
	out, errs, code := w.run("check", "--passive", "--during", "0s", "-q", "--no-headers")
	assert.Equal(t, ExitUnhealthy, code)
	assert.Contains(t, errs, "findings are failures")
	assert.Regexp(t, "(?m)^failure +program guard +is on no interface", out)
	assert.Regexp(t, "(?m)^failure +peer "+workerID+" +was never met", out)
	assert.NotRegexp(t, "(?m)^(ok|note)", out)
	out, _, code = w.run("check", "--during", "10ms", "-o", "json")
	assert.Equal(t, ExitUnhealthy, code)
	var all []check.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	assert.True(t, slices.ContainsFunc(all, func(f check.Finding) bool { return f.Level == check.OK && f.Subject == "drops" }))
}

// checkFlush forgets flows, and no others.
func checkFlush(t *testing.T, w *world) {
	count := func(args ...string) int {
		t.Helper()
		out, errs, code := w.run(append(args, "-o", "json")...)
		require.Zero(t, code, errs)
		var rows []inspect.Flow
		require.NoError(t, json.Unmarshal([]byte(out), &rows))
		return len(rows)
	}
	all := count("flow")
	assert.Equal(t, 2, count("flush", "flow", "--proto", "udp", "--dry-run"))
	assert.Equal(t, all, count("flow"), "a dry run forgets nothing")
	assert.Equal(t, 2, count("flush", "flow", "--proto", "udp"))
	assert.Equal(t, all-2, count("flow"))
	assert.Zero(t, count("flow", "--proto", "udp"))
	_, errs, code := w.run("flush", "flow", "--all")
	assert.Zero(t, code)
	assert.Equal(t, fmt.Sprintf("forgot %d flows\n", all-2), errs)
	assert.Zero(t, count("flow"))
}

func checkErrors(t *testing.T, w *world) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"flwo":                          {cmdline.Usage, "did you mean flow"},
		"flow x":                        {cmdline.Usage, "unknown command"},
		"flow --colour":                 {cmdline.Usage, "unknown flag"},
		"flow --sort colour":            {cmdline.Usage, "choose of proto, source"},
		"flow --limit -1":               {cmdline.Usage, "use 0 for all"},
		"flow --watch --interval 1ms":   {cmdline.Usage, "use at least 100ms"},
		"drop --watch --count -1":       {cmdline.Usage, "use 0 for no end"},
		"flow -o xml":                   {cmdline.Usage, "use table, wide, json or yaml"},
		"flow --proto sctp":             {cmdline.Usage, "use tcp, udp, icmp"},
		"flow --state open":             {cmdline.Usage, "use syn-sent"},
		"flow --src 10.18.0.2:http":     {cmdline.Usage, "--src: \"10.18.0.2:http\" is none of ADDRESS"},
		"flow --dst :0":                 {cmdline.Usage, "--dst"},
		"watch --by colour":             {cmdline.Usage, "use service, instance"},
		"watch --interval 0s":           {cmdline.Usage, "use at least 100ms"},
		"watch --sort proto":            {cmdline.Usage, "choose of service, flows"},
		"check --during 1h":             {cmdline.Usage, "use at most 1m"},
		"flush flow":                    {cmdline.Usage, "or --all alone"},
		"flush flow --all --proto tcp":  {cmdline.Usage, "or --all alone"},
		"flush route":                   {cmdline.Usage, "unknown command"},
		"resolve":                       {cmdline.Usage, "oak-net resolve"},
		"resolve cccc":                  {cmdline.NotFound, "no service \"cccc\""},
		"resolve aaaa.7":                {cmdline.NotFound, "no service"},
		"resolve web.a.b.c.oak":         {cmdline.Failed, "its network namespace is not seen from here"},
		"resolve web.a.b.c.oak --as zz": {cmdline.NotFound, "no instance \"zz\" here"},
		"trace --proto sctp":            {cmdline.Usage, "use tcp, udp, icmp, icmp6"},
		"trace --src 10.0.0.0/8":        {cmdline.Usage, "not by prefixes"},
		"trace --count -1":              {cmdline.Usage, "use 0 for no end"},
		"flow --service me":             {cmdline.Usage, "neither an address nor a service id"},
		"service show 10.9.9.9":         {cmdline.NotFound, "`oak-net service` lists all"},
		"service show aaa":              {cmdline.NotFound, "no service"},
		"dump nothing":                  {cmdline.Usage, "choose one of config"},
		"dump events":                   {cmdline.Usage, "choose one of config"},
		"dump":                          {cmdline.Usage, "oak-net dump MAP"},
		"service --worker w9":           {cmdline.NotFound, `of worker "w9"`},
		"service --bpffs /nonexist":     {cmdline.NotFound, "give the mount point"},
		"service --bpffs /proc":         {cmdline.NotFound, "mount -t bpf bpf /proc"},
		"service --worker ../sidestep":  {cmdline.NotFound, "there are those of w1"},
	} {
		out, errs, code := w.run(strings.Fields(args)...)
		assert.Equal(t, want.code, code, "%s: %s", args, errs)
		assert.Contains(t, errs, want.text, args)
		assert.True(t, strings.HasPrefix(errs, "oak-net: "), args)
		assert.Empty(t, out, args)
	}
}

func checkCompletion(t *testing.T, w *world) {
	for args, want := range map[string]string{
		"__complete --worker ":       "w1\n",
		"__complete service show ":   serviceB + "\n",
		"__complete dump ":           "flows6\n",
		"__complete flow --state ":   "syn-sent\n",
		"__complete flow --node ":    worker2ID + "\n",
		"__complete flow --service ": "10.30.0.100\n",
		"__complete flow --sort ":    "tx-bytes\n",
	} {
		out, _, code := w.run(append(strings.Fields(args), "")...)
		assert.Zero(t, code, args)
		assert.Contains(t, out, want, args)
	}
	out, _, code := w.run("completion", "bash")
	assert.Zero(t, code)
	assert.Contains(t, out, "bash completion")
	out, _, code = w.run("version")
	assert.Zero(t, code)
	assert.Equal(t, "oak-net v1\n", out)
}

// TestNoPins goes through what is there before NetManager ever ran, after it, and with another version of it.
func TestNoPins(t *testing.T) {
	w := newWorld(t)
	_, errs, code := w.run("status")
	assert.Equal(t, cmdline.NotFound, code)
	assert.Contains(t, errs, "has NetManager ever run on this machine")

	dir := filepath.Join(w.bpffs, "oakestra", "old")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "links"), 0o700))
	_, errs, code = w.run("status")
	assert.Equal(t, cmdline.NotFound, code)
	assert.Contains(t, errs, "no pins of maps in "+dir)

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "v00000000", bpf.MapDir), 0o700))
	_, errs, code = w.run("status")
	assert.Equal(t, cmdline.Failed, code)
	assert.Contains(t, errs, "worker old has maps of version 00000000")
}

// TestSeveralWorkers asks for a name where there are several, and reads an empty datapath.
func TestSeveralWorkers(t *testing.T) {
	w := newWorld(t)
	w.worker("b")
	require.NoError(t, os.MkdirAll(filepath.Join(w.bpffs, "oakestra", "a"), 0o700))
	_, errs, code := w.run("service")
	assert.Equal(t, cmdline.Usage, code)
	assert.Contains(t, errs, "choose one with --worker: a, b")

	for _, noun := range []string{"service", "backend", "endpoint", "node", "flow", "drop"} {
		out, errs, code := w.run(noun, "--worker", "b", "-o", "json")
		assert.Zero(t, code, errs)
		assert.Equal(t, "[]\n", out, noun)
		out, errs, code = w.run(noun, "--worker", "b")
		assert.Zero(t, code)
		assert.Empty(t, out)
		assert.Equal(t, "nothing found\n", errs)
	}
	out, errs, code := w.run("status", "--worker", "b", "-o", "json")
	require.Zero(t, code, errs)
	var all []inspect.Status
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	assert.Equal(t, "never", all[0].Manager.State)
	assert.Empty(t, all[0].Programs)
	out, _, _ = w.run("status", "--worker", "b")
	assert.Contains(t, out, "never alive since the maps were made")
}

// TestDeadManager shows since when NetManager is away.
func TestDeadManager(t *testing.T) {
	w := newWorld(t)
	m, _ := w.worker("w1")
	require.NoError(t, m.Heartbeat.Put(0, ago(65e9)))
	out, _, code := w.run("status")
	assert.Zero(t, code)
	assert.Contains(t, out, "dead since 2030-01-02T03:03:00Z (for 1m5s)")
}

// TestElsewhere reads from another network namespace: interfaces have numbers only, and none gets a stranger's name.
func TestElsewhere(t *testing.T) {
	w := known(t)
	there := w.ns
	other := newWorld(t)
	other.device("stranger0")
	other.device("stranger1")
	w.ns = other.ns
	defer func() { w.ns = there }()
	out, errs, code := w.run("endpoint", "-o", "json")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, `"interface": ""`)
	assert.Contains(t, out, `"ifindex": 5`)
	assert.Contains(t, out, `"attached": true`)
	assert.NotContains(t, out, "stranger")
	out, _, _ = w.run("status")
	assert.NotContains(t, out, "stranger")
}
