// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/metrics"
)

func TestMapsAsMetrics(t *testing.T) {
	maps, err := bpf.NewMaps()
	require.NoError(t, err, "the test needs root")
	t.Cleanup(func() { _ = maps.Close() })
	reasons, err := bpf.DropReasons()
	require.NoError(t, err)
	for i, name := range reasons {
		if name == "spoofed_source" {
			perCPU, _, err := maps.Drops.Lookup(i)
			require.NoError(t, err)
			perCPU[0] = bpf.Counter{Packets: 2, Bytes: 100}
			perCPU[len(perCPU)-1] = bpf.Counter{Packets: 3, Bytes: 200}
			require.NoError(t, maps.Drops.Put(i, perCPU))
		}
	}
	require.NoError(t, maps.Endpoints.Put(9, bpf.Endpoint{}))
	require.NoError(t, maps.Peers.Put(1, bpf.Peer{State: bpf.PeerUp, Id: [12]byte{1}}))
	stats, _, err := maps.PeerStats.Lookup(1)
	require.NoError(t, err)
	stats[0] = bpf.PeerStats{TxPackets: 4, TxBytes: 400, RxPackets: 5, RxBytes: 500}
	require.NoError(t, maps.PeerStats.Put(1, stats))
	require.NoError(t, maps.PeerHealth.Put(1, bpf.PeerHealth{Heard: 1}))
	require.NoError(t, maps.Paths.Put(1, bpf.Path{Mtu: 1364, Learned: 1, Until: 1 << 62}))
	require.NoError(t, maps.Peers.Put(2, bpf.Peer{State: bpf.PeerUp, Id: [12]byte{2}}))
	require.NoError(t, maps.Paths.Put(2, bpf.Path{Mtu: 1364, Learned: 1, Until: 2}))

	addr := func(s string) bpf.Addr { return bpf.AddrFrom(netip.MustParseAddr(s)) }
	key := bpf.FlowKey{Src: addr("10.18.0.2"), Dst: addr("10.30.0.1"), Sport: 1, Dport: 80, Proto: unix.IPPROTO_TCP, From: 9}
	flow := bpf.Flow{Src: addr("10.30.0.2"), Dst: addr("10.18.0.3"), Sport: 1, Dport: 80, Flags: bpf.FlowEstablished}
	require.NoError(t, maps.Flows().Put(key, flow))
	flow.Flags |= bpf.FlowReply
	require.NoError(t, maps.Flows().Put(key.Reverse(flow), flow))
	key.Sport, flow.Flags = 2, bpf.FlowEstablished|bpf.FlowClosed
	require.NoError(t, maps.Flows().Put(key, flow))

	c, err := metrics.New(maps, features.Record{Features: []features.Feature{{Name: "tcx", Used: true}, {Name: "decap_l3"}}})
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry() // holds it against what Describe has promised
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		assert.NotEmpty(t, f.GetHelp(), f.GetName())
		for _, m := range f.GetMetric() {
			key := strings.TrimPrefix(f.GetName(), metrics.Prefix)
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	assert.InDelta(t, 5, got["drop_packets_total spoofed_source"], 0)
	assert.InDelta(t, 300, got["drop_bytes_total spoofed_source"], 0)
	assert.Zero(t, got["drop_packets_total bad_tag"])
	assert.InDelta(t, 1, got["map_entries endpoints"], 0)
	assert.Positive(t, got["map_bytes backends"])
	assert.InDelta(t, 1, got["flows ipv4 tcp established"], 0)
	assert.InDelta(t, 1, got["flows ipv4 tcp ended"], 0)
	assert.Contains(t, got, "flows ipv6 udp opening")
	assert.Zero(t, got["flows ipv6 udp opening"])
	assert.Positive(t, got["peer_silence_seconds 010000000000000000000000"])
	assert.InDelta(t, 400, got["peer_bytes_total tx 010000000000000000000000"], 0)
	assert.InDelta(t, 5, got["peer_packets_total rx 010000000000000000000000"], 0)
	assert.InDelta(t, 2, got["peer_state 010000000000000000000000"], 0)
	assert.InDelta(t, 1364, got["peer_path_mtu_bytes 010000000000000000000000"], 0)
	assert.NotContains(t, got, "peer_path_mtu_bytes 020000000000000000000000", "it is forgotten")
	assert.InDelta(t, 1, got["kernel_feature tcx"], 0)
	assert.Contains(t, got, "kernel_feature decap_l3")
	assert.Zero(t, got["kernel_feature decap_l3"])
	assert.Zero(t, got["scrape_errors"])
	assert.NotContains(t, got, "heartbeat_age_seconds", "there was none yet")
}
