// SPDX-License-Identifier: Apache-2.0

package check

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestARouterSaysSo tries ways on which a router carries less than the interfaces at their ends, and says so.
func TestARouterSaysSo(t *testing.T) {
	done := make(chan map[string]Way, 1)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away with its namespace
		ways, err := pastARouter(t)
		failed <- err
		done <- ways
	}()
	require.NoError(t, <-failed, "the test needs root")
	for to, w := range <-done {
		require.NoError(t, w.Err, to)
		assert.True(t, w.Answered, to)
		assert.Equal(t, 1500, w.Tried, to)
		assert.Equal(t, 1400, w.Bytes, to)
		assert.Equal(t, 1400, w.Told, to)
	}
}

// pastARouter makes near – router – far, of which the second link carries 1400 bytes.
func pastARouter(t *testing.T) (map[string]Way, error) {
	var ns [3]netns.NsHandle
	for i := range ns {
		var err error
		if ns[2-i], err = netns.New(); err != nil { // the near one last, to stay in it
			return nil, err
		}
		defer ns[2-i].Close()
		for _, setting := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+setting, []byte("1"), 0o600); err != nil {
				return nil, err
			}
		}
	}
	for i, mtu := range []int{1500, 1400} {
		if err := cable(ns[i], ns[i+1], i, mtu); err != nil {
			return nil, err
		}
	}
	for i, by := range map[int]byte{0: 0, 2: 1} { // the link that it is on, whose first or second address is the router's
		h, err := netlink.NewHandleAt(ns[i])
		if err != nil {
			return nil, err
		}
		defer h.Close()
		for f, at := range onLink(by) {
			everywhere := &net.IPNet{IP: at[0].Mask(net.CIDRMask(0, len(at[0])*8)), Mask: net.CIDRMask(0, len(at[0])*8)}
			if err := h.RouteAdd(&netlink.Route{Dst: everywhere, Gw: onLink(by)[f][1-by]}); err != nil {
				return nil, err
			}
		}
	}
	out := map[string]Way{}
	for f, at := range onLink(0) {
		from, _ := netip.AddrFromSlice(at[0])
		to, _ := netip.AddrFromSlice(onLink(1)[f][1])
		// IPv6 takes a moment after a link comes up.
		for until := time.Now().Add(5 * time.Second); !out[to.String()].Answered && time.Now().Before(until); {
			out[to.String()] = try(t.Context(), from, to, 1500)
		}
	}
	return out, nil
}

// onLink are the two addresses of a link, by family.
func onLink(n byte) [2][2]net.IP {
	four := func(i byte) net.IP { return net.IPv4(192, 0, 2+n, i).To4() }
	six := func(i byte) net.IP { return net.IP{0x20, 1, 0xd, 0xb8, 5: n, 15: i} }
	return [2][2]net.IP{{four(1), four(2)}, {six(1), six(2)}}
}

// cable joins two namespaces by the nth link.
func cable(a, b netns.NsHandle, n, mtu int) error {
	h, err := netlink.NewHandleAt(a)
	if err != nil {
		return err
	}
	defer h.Close()
	names := [2]string{"to" + string('0'+rune(n+1)), "to" + string('0'+rune(n))}
	if err := h.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: names[0], MTU: mtu}, PeerName: names[1], PeerNamespace: netlink.NsFd(b), PeerMTU: uint32(mtu),
	}); err != nil {
		return err
	}
	for i, ns := range []netns.NsHandle{a, b} {
		h, err := netlink.NewHandleAt(ns)
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName(names[i])
		if err != nil {
			return err
		}
		for f, at := range onLink(byte(n)) {
			a := &net.IPNet{IP: at[i], Mask: net.CIDRMask([2]int{24, 64}[f], len(at[i])*8)}
			if err := h.AddrAdd(l, &netlink.Addr{IPNet: a, Flags: 0x02}); err != nil { // IFA_F_NODAD
				return err
			}
		}
		if err := h.LinkSetUp(l); err != nil {
			return err
		}
	}
	return nil
}
