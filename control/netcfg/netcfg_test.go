// SPDX-License-Identifier: Apache-2.0

package netcfg_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/netcfg"
)

func TestParse(t *testing.T) {
	public := netip.MustParseAddr("203.0.113.7")
	for text, want := range map[string]netcfg.File{
		`{}`: {},
		`{"NodePublicAddress": "203.0.113.7", "NodePublicPort": "50103", "ClusterUrl": "192.0.2.1", "ClusterMqttPort": "10003"}`: {PublicAddress: public,
			PublicPort: 50103, Cluster: "192.0.2.1", MQTTPort: 10003},
		`{"NodePublicPort": 50103, "ClusterMqttPort": 10003, "Debug": true, "DefaultInterface": "eth1"}`:                             {PublicPort: 50103, MQTTPort: 10003, Debug: true, Uplink: "eth1"},
		`{"NodePublicAddress": "0.0.0.0", "ClusterUrl": "0.0.0.0", "NodePublicPort": "", "Debug": "False", "ClusterMqttPort": null}`: {},
		`{"ClusterUrl": "https://cluster.example:10100/"}`:                                                                           {Cluster: "cluster.example"},
		`{"ClusterUrl": "[2001:db8::1]:10100"}`:                                                                                      {Cluster: "2001:db8::1"},
		`{"ClusterUrl": "2001:db8::1"}`:                                                                                              {Cluster: "2001:db8::1"},
		`{"NodePublicAddress": "::ffff:203.0.113.7"}`:                                                                                {PublicAddress: public},
	} {
		got, err := netcfg.Parse([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestWhatMeansNothingIsNamed(t *testing.T) {
	f, err := netcfg.Parse([]byte(`{"MqttCert": "/x", "NodePublicAdress": "203.0.113.7"}`))
	require.NoError(t, err)
	require.Len(t, f.Warnings, 2)
	require.Contains(t, f.Warnings[0], `"MqttCert" means nothing here: a worker's certificate is issued`)
	require.Contains(t, f.Warnings[1], `"NodePublicAdress" means nothing here: known are ClusterMqttPort, ClusterUrl`)
	f, err = netcfg.Parse([]byte(`{"clusterurl": "192.0.2.1"}`))
	require.NoError(t, err)
	require.Equal(t, []string{`key "clusterurl" means nothing here: it is written ClusterUrl`}, f.Warnings)
	// Every key that installations have is known, or told why it is not needed.
	for _, key := range []string{"NodePublicAddress", "NodePublicPort", "ClusterUrl", "ClusterMqttPort", "DefaultInterface", "Debug", "PublicIPNetworking", "MqttCert", "MqttKey"} {
		f, err := netcfg.Parse([]byte(`{"` + key + `": ""}`))
		require.NoError(t, err, key)
		for _, w := range f.Warnings {
			require.NotContains(t, w, "known are", key)
		}
	}
}

func TestWhatIsWrongIsNamedWithFileAndKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netcfg.json")
	for text, want := range map[string]string{
		`{"NodePublicPort": "70000"}`:           `key NodePublicPort: "70000" is no port`,
		`{"NodePublicPort": 0}`:                 "key NodePublicPort",
		`{"NodePublicAddress": "example.org"}`:  `key NodePublicAddress: "example.org" is no IP address`,
		`{"ClusterUrl": "a b"}`:                 "key ClusterUrl",
		`{"ClusterMqttPort": {"port": 10003}}`:  "key ClusterMqttPort",
		`{"Debug": "perhaps"}`:                  "key Debug",
		`{"DefaultInterface": "../../etc/eth"}`: "key DefaultInterface",
		`[]`:                                    "it is no JSON object",
		`{"NodePublicPort": 50103.5}`:           `key NodePublicPort: "50103.5" is no port`,
		`{"NodePublicPort": -1}`:                "key NodePublicPort",
		`{"ClusterMqttPort": true}`:             `key ClusterMqttPort: "true" is no port`,
		`{"ClusterUrl": ["a"]}`:                 "key ClusterUrl",
		`{"NodePublicAddress": 4}`:              `key NodePublicAddress: "4" is no IP address`,
		`{} {}`:                                 "it is no JSON object",
		`{"NodePublicPort": 1`:                  "it is no JSON object",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := netcfg.Read(path)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, path)
	}
	_, err := netcfg.Read(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"NodePublicAddress": "203.0.113.7", "NodePublicPort": 50103, "ClusterUrl": "http://[::1]:1/", "Debug": 1}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = netcfg.Parse(data) })
}
