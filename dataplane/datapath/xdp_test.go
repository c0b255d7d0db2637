// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestCardProgram hangs the card's program on a veth in generic mode, replaces it as a new start does, and takes it off. By itself it
// never goes on a veth.
func TestCardProgram(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("bpf", dir, "bpf", 0, ""), "mount a BPF file system: the test needs root")
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	progs, maps, err := bpf.Load("", bpf.Kernel{})
	require.NoError(t, err)
	t.Cleanup(func() { progs.Close(); _ = maps.Close() })
	kernel, err := probe.Kernel()
	require.NoError(t, err)
	d := &Datapath{progs: progs, maps: maps, hooks: hooks{dir: dir + "/links", tcx: kernel.Uses(probe.TCX)}}
	netnstest.Within(t, netnstest.NewQuiet(t), func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "up1"}); err != nil {
			return err
		}
		card := func() *netlink.LinkXdp {
			l, err := netlink.LinkByName("up0")
			require.NoError(t, err)
			return l.Attrs().Xdp
		}
		l, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		index := l.Attrs().Index
		u := d.attachXDP(index)
		require.False(t, card().Attached, "it is on a veth")
		require.Equal(t, features.Uplink{
			Ifindex: index, Name: "up0", XDP: features.XDPOff, Why: "it is a veth, whose packets would only take longer",
		}, u)
		require.NoError(t, d.hooks.attachXDP(index, progs.XDP, link.XDPGenericMode))
		require.True(t, card().Attached)
		require.NoError(t, d.hooks.attachXDP(index, progs.XDP, link.XDPGenericMode), "again")
		require.NoError(t, d.hooks.upgrade(map[string]*ebpf.Program{kindXDP: progs.XDP}))
		require.True(t, card().Attached)
		require.NoError(t, d.hooks.detach(kindXDP, index))
		require.False(t, card().Attached)
		_, err = os.Stat(d.hooks.pin(kindXDP, index))
		require.ErrorIs(t, err, os.ErrNotExist)
		return d.hooks.detach(kindXDP, index)
	})
}
