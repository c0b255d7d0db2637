// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// TestFilters finds attachments of a kernel without tcx, among filters of others.
func TestFilters(t *testing.T) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "noop", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	require.NoError(t, err, "the test needs root")
	defer prog.Close()
	var index int
	var got []Attachment
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away with its namespace
		done <- func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer ns.Close()
			if index, err = filtered(prog); err != nil {
				return err
			}
			got, err = Worker{Dir: t.TempDir()}.Attachments()
			return err
		}()
	}()
	require.NoError(t, <-done)
	require.Len(t, got, 2)
	for i, kind := range []string{"container", "uplink_out"} {
		a := got[i]
		assert.Equal(t, kind, a.Kind)
		assert.Equal(t, index, a.Ifindex)
		assert.Equal(t, "up0", a.Interface)
		assert.Equal(t, "noop", a.Name)
		assert.Len(t, a.Tag, 16)
		assert.NotZero(t, a.Program)
		assert.NotZero(t, a.Loaded)
	}
}

// filtered makes an interface with the filters of a container and an uplink's egress, and one of a stranger.
func filtered(prog *ebpf.Program) (int, error) {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "up1"}); err != nil {
		return 0, err
	}
	l, err := netlink.LinkByName("up0")
	if err != nil {
		return 0, err
	}
	index := l.Attrs().Index
	if err := netlink.QdiscAdd(&netlink.GenericQdisc{
		QdiscType:  "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
	}); err != nil {
		return 0, err
	}
	for i, f := range []struct {
		name   string
		parent uint32
	}{{"oak_container", netlink.HANDLE_MIN_INGRESS}, {"oak_uplink_out", netlink.HANDLE_MIN_EGRESS}, {"stranger", netlink.HANDLE_MIN_INGRESS}} {
		if err := netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: f.parent, Handle: 1, Priority: uint16(i + 1), Protocol: unix.ETH_P_ALL},
			Fd:          prog.FD(), Name: f.name, DirectAction: true,
		}); err != nil {
			return 0, err
		}
	}
	return index, nil
}
