// SPDX-License-Identifier: Apache-2.0

package check

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestEchoes tries the way over a cable whose far end takes less than the near one, and says nothing of what it drops.
func TestEchoes(t *testing.T) {
	done := make(chan map[uint32]Way, 1)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away with its namespace
		ways, err := overACable(t)
		failed <- err
		done <- ways
	}()
	require.NoError(t, <-failed, "the test needs root")
	ways := <-done
	require.Len(t, ways, 3)
	for _, index := range []uint32{4, 6} {
		w := ways[index]
		require.NoError(t, w.Err)
		assert.True(t, w.Answered, index)
		assert.Positive(t, w.RoundTrip)
		assert.Equal(t, 1500, w.Tried)
		assert.InDelta(t, 1402, w.Bytes, 2, "the cable lets the four bytes of a VLAN's tag pass on top")
	}
	assert.False(t, ways[5].Answered)
}

func overACable(t *testing.T) (map[uint32]Way, error) {
	far, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	near, err := netns.New() // and stay in it
	if err != nil {
		return nil, err
	}
	defer near.Close()
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1500}, PeerName: "eth0", PeerNamespace: netlink.NsFd(far), PeerMTU: 1400,
	}); err != nil {
		return nil, err
	}
	for i, ns := range []netns.NsHandle{near, far} {
		h, err := netlink.NewHandleAt(ns)
		if err != nil {
			return nil, err
		}
		defer h.Close()
		l, err := h.LinkByName("eth0")
		if err != nil {
			return nil, err
		}
		for _, a := range []*net.IPNet{
			{IP: net.IPv4(192, 0, 2, byte(1+i)), Mask: net.CIDRMask(24, 32)}, {IP: net.ParseIP("2001:db8::" + string('1'+rune(i))), Mask: net.CIDRMask(64, 128)},
		} {
			if err := h.AddrAdd(l, &netlink.Addr{IPNet: a, Flags: 0x02}); err != nil { // IFA_F_NODAD
				return nil, err
			}
		}
		if err := h.LinkSetUp(l); err != nil {
			return nil, err
		}
	}
	// The tasks of Try run on threads of their own, so that each node is tried from here.
	out := map[uint32]Way{}
	for index, to := range map[uint32]string{4: "192.0.2.2", 5: "192.0.2.9", 6: "2001:db8::2"} {
		from := "192.0.2.1"
		if index == 6 {
			from = "2001:db8::1"
		}
		// IPv6 takes a moment after a link comes up; the one address that nobody has is tried once.
		for until := time.Now().Add(5 * time.Second); ; {
			out[index] = try(t.Context(), netip.MustParseAddr(from), netip.MustParseAddr(to), 1500)
			if out[index].Answered || index == 5 || time.Now().After(until) {
				break
			}
		}
	}
	return out, nil
}
