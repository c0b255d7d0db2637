// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"crypto/ecdh"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// keyed is one of the two workers.
type keyed struct {
	key *ecdh.PrivateKey
	at  netip.Prefix
}

func setUp(t *testing.T, name, addr string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	require.NoError(t, err)
	a, err := netlink.ParseAddr(addr)
	require.NoError(t, err)
	a.Flags = unix.IFA_F_NODAD // of no meaning to IPv4
	require.NoError(t, netlink.AddrAdd(link, a))
	require.NoError(t, netlink.LinkSetUp(link))
	return link.Attrs().Index
}

// listen stands in for the uplink's program and the ring buffer: it hands hellos that arrive at an address to the greeter.
func listen(t *testing.T, g *Greeter, ifindex int, at netip.Addr) {
	t.Helper()
	family, header := unix.AF_INET6, 0 // which a raw socket of IPv6 does not show
	if at.Is4() {
		family, header = unix.AF_INET, ip4Len
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	require.NoError(t, err)
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50000}))
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		b := make([]byte, 2048)
		for {
			select {
			case <-done:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, b, 0)
			headers := header + udpLen
			if err != nil || n <= headers {
				continue
			}
			body, err := hello.Untunneled(b[headers:n])
			if err != nil || len(body) > bpf.MaxHello {
				continue
			}
			e := bpf.Hello{
				Dst: bpf.AddrFrom(at), Sport: binary.BigEndian.Uint16(b[header:]), Len: uint16(len(body)), Ifindex: uint32(ifindex),
			}
			switch from := from.(type) {
			case *unix.SockaddrInet4:
				e.Src = bpf.AddrFrom(netip.AddrFrom4(from.Addr))
			case *unix.SockaddrInet6:
				e.Src = bpf.AddrFrom(netip.AddrFrom16(from.Addr))
			}
			copy(e.Data[:], body)
			g.HandleHello(e)
		}
	}()
	t.Cleanup(func() { close(done); <-stopped; _ = unix.Close(fd) })
}

func TestTwoWorkersMeetOverAWire(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { meetOverAWire(t, "10.199.0.1/24", "10.199.0.2/24", "10.199.0.99") })
	t.Run("IPv6", func(t *testing.T) { meetOverAWire(t, "2001:db8::1/64", "2001:db8::2/64", "2001:db8::99") })
}

func meetOverAWire(t *testing.T, atA, atB, nobody string) {
	prefixA, prefixB := netip.MustParsePrefix(atA), netip.MustParsePrefix(atB)
	keys := map[string]keyed{idA: {newKey(t), prefixA}, idB: {newKey(t), prefixB}}
	port := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 50103) }
	greeters := map[string]*Greeter{}
	ifindices := map[string]int{}

	nsA, nsB := netnstest.New(t), netnstest.New(t)
	netnstest.Within(t, nsA, func() error {
		la := netlink.NewLinkAttrs()
		la.Name, la.MTU = "a", 1500
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "b", PeerNamespace: netlink.NsFd(int(nsB)), PeerMTU: 1400})
	})
	for id, ns := range map[string]netns.NsHandle{idA: nsA, idB: nsB} {
		netnstest.Within(t, ns, func() error {
			k := keys[id]
			name, mtu := "a", 1500
			if id == idB {
				name, mtu = "b", 1400
			}
			ifindex := setUp(t, name, k.at.String())
			up := Uplink{Ifindex: ifindex, IPv6: k.at.Addr(), MTU: mtu}
			if k.at.Addr().Is4() {
				up = Uplink{Ifindex: ifindex, IPv4: k.at.Addr(), MTU: mtu}
			}
			g, err := New(Config{
				Maps: newMaps(t), WorkerID: id, Key: k.key, Start: 1, Port: 50103,
				Uplink: func() Uplink { return up },
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = g.Close() })
			listen(t, g, ifindex, k.at.Addr())
			greeters[id], ifindices[id] = g, ifindex
			return nil
		})
	}

	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 2)
	for _, g := range greeters {
		go func() { stopped <- g.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range greeters {
			require.NoError(t, <-stopped)
		}
	})
	// A knows B first: its greetings are ignored until B knows A.
	require.NoError(t, greeters[idA].Apply(list(1, peerOf(idB, keys[idB].key, port(netip.MustParseAddr(nobody)), port(prefixB.Addr())))))
	time.Sleep(50 * time.Millisecond)
	_, met := greeters[idA].Index(idB)
	require.False(t, met)
	require.NoError(t, greeters[idB].Apply(list(1, peerOf(idA, keys[idA].key, port(prefixA.Addr())))))

	for id, other := range map[string]string{idA: idB, idB: idA} {
		g := greeters[id]
		require.Eventually(t, func() bool { _, met := g.Index(other); return met }, 2*time.Second, 5*time.Millisecond)
		index, _ := g.Index(other)
		record, _, err := g.cfg.Maps.Peers.Lookup(index)
		require.NoError(t, err)
		require.Equal(t, keys[other].at.Addr(), record.Outer.Netip())
		require.Equal(t, keys[id].at.Addr(), record.Local.Netip())
		require.EqualValues(t, 50103, record.Port)
		require.EqualValues(t, 1400-bpf.Overhead(record.Outer.Netip().Is4()), record.Mtu)
		require.EqualValues(t, ifindices[id], record.Ifindex)
		require.Len(t, g.Peers(), 1)
		require.True(t, g.Peers()[0].Met)
	}
}
