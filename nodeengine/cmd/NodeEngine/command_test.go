// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/nodeengine/netmanager"
)

// TestWhereTheNeighboursAre: flags come before netcfg.json, and that before this machine.
func TestWhereTheNeighboursAre(t *testing.T) {
	file := filepath.Join(t.TempDir(), "netcfg.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"ClusterUrl": "192.0.2.7", "ClusterMqttPort": "20003"}`), 0o600))
	type where struct {
		cluster string
		mqtt    uint16
		net     string
		token   string
	}
	for name, tc := range map[string]struct {
		args []string
		want where
	}{
		"by the page":        {[]string{"-n", "6000", "-p", "10100", "--name", "w1"}, where{"127.0.0.1", 0, "127.0.0.1:6000", "/run/oakestra/netmanager-w1-6000.token"}},
		"by the page's file": {[]string{"-n", "6000", "--config", file, "--netmanager-token-file", "/t"}, where{"192.0.2.7", 20003, "127.0.0.1:6000", "/t"}},
		"by flags":           {[]string{"-a", "192.0.2.8", "--config", file, "--netmanager", "/run/n.sock"}, where{"192.0.2.8", 20003, "/run/n.sock", ""}},
		"alone":              {nil, where{"127.0.0.1", 0, netmanager.DefaultSocket, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, o := commandOf()
			require.NoError(t, cmd.ParseFlags(tc.args))
			require.NoError(t, o.places(cmd))
			got := where{o.cluster, o.mqttPort, o.netManagerAt.String(), o.netManagerAt.TokenFile}
			if tc.want.token == "" {
				got.token = ""
			}
			require.Equal(t, tc.want, got)
		})
	}
	cmd, o := commandOf()
	require.NoError(t, cmd.ParseFlags([]string{"-n", "n.sock"}))
	require.ErrorContains(t, o.places(cmd), "flag --netmanager")
	require.NoError(t, os.WriteFile(file, []byte(`{"ClusterMqttPort": "many"}`), 0o600))
	cmd, o = commandOf()
	require.NoError(t, cmd.ParseFlags([]string{"--config", file}))
	require.ErrorContains(t, o.places(cmd), "ClusterMqttPort")
}
