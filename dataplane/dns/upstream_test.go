// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ports(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.AddrPortFrom(netip.MustParseAddr(s), port))
	}
	return out
}

func TestReadServers(t *testing.T) {
	for conf, want := range map[string][]netip.AddrPort{
		"":                                  ports("127.0.0.1"),
		"# nothing\n; at all\nsearch a b\n": ports("127.0.0.1"),
		"nameserver 127.0.0.53\n":           ports("127.0.0.53"),
		"nameserver\nnameserver resolver.example\nnameserver 192.0.2.1 # why\nnameserver fe80::1%eth0": ports("192.0.2.1", "fe80::1%eth0"),
		strings.Repeat("nameserver 192.0.2.1\n", 9):                                                    ports("192.0.2.1", "192.0.2.1", "192.0.2.1"),
	} {
		got, err := readServers(strings.NewReader(conf))
		require.NoError(t, err)
		require.Equal(t, want, got, conf)
	}
	_, err := readServers(strings.NewReader(strings.Repeat("\x00", 1<<17)))
	require.NoError(t, err, "whatever the file holds")
}

func TestServersFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	own := ports("10.18.0.1")
	u := &upstreams{path: path, log: slog.New(slog.DiscardHandler), own: func() []netip.AddrPort { return own }}
	now := time.Unix(1_000_000, 0)
	require.Empty(t, u.servers(now), "there is no file yet")
	write("nameserver 192.0.2.1\nnameserver 10.18.0.1\n")
	require.Empty(t, u.servers(now.Add(lookEvery/2)), "looked at a moment ago")
	now = now.Add(lookEvery)
	require.Equal(t, ports("192.0.2.1"), u.servers(now), "this resolver is not its own")
	write("nameserver 192.0.2.2\n")
	now = now.Add(lookEvery)
	require.Equal(t, ports("192.0.2.2"), u.servers(now))
	require.NoError(t, os.Remove(path))
	now = now.Add(lookEvery)
	require.Equal(t, ports("192.0.2.2"), u.servers(now), "it is away for a moment")
	write("nameserver 10.18.0.1\n")
	now = now.Add(lookEvery)
	require.Empty(t, u.servers(now), "there is no other")
}
