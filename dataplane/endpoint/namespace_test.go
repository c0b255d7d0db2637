// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func endContainer(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, unix.Unmount(path, unix.MNT_DETACH))
}

// kernel stands for the programs: it remembers where they are attached and what was purged.
type kernel struct {
	attached map[int]int
	purged   []netip.Addr
	order    []string
}

func (k *kernel) AttachContainer(ifindex int) error {
	k.attached[ifindex]++
	k.order = append(k.order, "attach")
	return nil
}

func (k *kernel) Detach(ifindex int) error {
	delete(k.attached, ifindex)
	k.order = append(k.order, "detach")
	return nil
}

func (k *kernel) PurgeEndpoint(ns ...netip.Addr) error {
	k.purged = append(k.purged, ns...)
	k.order = append(k.order, "purge")
	return nil
}

// worker is a set with all that it stands on.
type worker struct {
	*Set
	kernel  *kernel
	maps    *bpf.Maps
	file    string
	changes int
}

func newWorker(t *testing.T) *worker {
	t.Helper()
	netnstest.Enter(t)
	maps, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = maps.Close() })
	w := &worker{kernel: &kernel{attached: map[int]int{}}, maps: maps, file: filepath.Join(t.TempDir(), "endpoints.json")}
	_, err = device.EnsureHost(device.HostAddresses{IPv4: network().Gateway, IPv6: network().GatewayIPv6}, 1444)
	require.NoError(t, err)
	w.restart(t)
	return w
}

func network() Network {
	return Network{
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.18.0.0/26"), netip.MustParsePrefix("fc00::/120")},
		Gateway: netip.MustParseAddr("10.18.0.1"), GatewayIPv6: netip.MustParseAddr("fc00::1"),
		MTU: 1444,
	}
}

// restart is what a new process does with the same state folder and kernel.
func (w *worker) restart(t *testing.T) {
	t.Helper()
	set, err := Open(Config{Datapath: w.kernel, Maps: w.maps, StateFile: w.file, Changed: func() { w.changes++ }, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, set.Configure(network()))
	w.Set = set
}

func request(number int, move uint32, path string) wire.LocalAttach {
	return wire.LocalAttach{
		InstanceKey: wire.InstanceKey{ServiceID: "0123456789abcdef01234567", Number: number},
		Generation:  wire.Generation{Placement: 1, Move: move},
		JobName:     "app.ns.service.ns",
		NetNS:       path,
		InstanceIP:  netip.AddrFrom4([4]byte{10, 30, 0, byte(number + 1)}), InstanceIPv6: netip.AddrFrom16([16]byte{0xfd, 0xff, 15: byte(number + 1)}),
	}
}
