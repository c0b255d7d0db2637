// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNetcfg(t *testing.T) {
	for text, want := range map[string]Public{
		`{}`: {},
		`{"NodePublicAddress":"0.0.0.0","NodePublicPort":"50103","Debug":true}`: {Port: 50103},
		`{"NodePublicAddress":"192.0.2.9","NodePublicPort":6000}`:               {netip.MustParseAddr("192.0.2.9"), 6000},
		`{"NodePublicAddress":"","NodePublicPort":""}`:                          {},
		`{"NodePublicPort":null}`:                                               {},
	} {
		got, err := parseNetcfg([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{`{`, `{"NodePublicAddress":"x"}`, `{"NodePublicPort":"0"}`, `{"NodePublicPort":70000}`, `{"NodePublicPort":{}}`} {
		_, err := parseNetcfg([]byte(text))
		require.Error(t, err, text)
	}
	_, err := ReadNetcfg(t.TempDir() + "/none")
	require.ErrorContains(t, err, "none")
}

func FuzzParseNetcfg(f *testing.F) {
	f.Add([]byte(`{"NodePublicAddress":"0.0.0.0","NodePublicPort":"50103"}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseNetcfg(data) })
}
