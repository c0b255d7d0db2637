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
	ip  string
}

func setUp(t *testing.T, name, addr string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	require.NoError(t, err)
	a, err := netlink.ParseAddr(addr)
	require.NoError(t, err)
	require.NoError(t, netlink.AddrAdd(link, a))
	require.NoError(t, netlink.LinkSetUp(link))
	return link.Attrs().Index
}

// listen stands in for the uplink's program and the ring buffer: it hands hellos that arrive to the greeter.
func listen(t *testing.T, g *Greeter, ifindex int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
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
			n, _, err := unix.Recvfrom(fd, b, 0)
			const headers = ipLen + udpLen
			if err != nil || n <= headers {
				continue
			}
			body, err := hello.Untunneled(b[headers:n])
			if err != nil || len(body) > bpf.MaxHello {
				continue
			}
			e := bpf.Hello{
				Src: bpf.AddrFrom(netip.AddrFrom4([4]byte(b[12:]))), Dst: bpf.AddrFrom(netip.AddrFrom4([4]byte(b[16:]))),
				Sport: binary.BigEndian.Uint16(b[ipLen:]), Len: uint16(len(body)), Ifindex: uint32(ifindex),
			}
			copy(e.Data[:], body)
			g.HandleHello(e)
		}
	}()
	t.Cleanup(func() { close(done); <-stopped; _ = unix.Close(fd) })
}

func TestTwoWorkersMeetOverAWire(t *testing.T) {
	keys := map[string]keyed{idA: {newKey(t), "10.199.0.1"}, idB: {newKey(t), "10.199.0.2"}}
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
			ifindex := setUp(t, name, k.ip+"/24")
			g, err := New(Config{
				Maps: newMaps(t), WorkerID: id, Key: k.key, Start: 1, Port: 50103,
				Uplink: func() Uplink { return Uplink{Ifindex: ifindex, IPv4: netip.MustParseAddr(k.ip), MTU: mtu} },
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = g.Close() })
			listen(t, g, ifindex)
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
	require.NoError(t, greeters[idA].Apply(list(1, peerOf(idB, keys[idB].key, netip.MustParseAddrPort("10.199.0.99:50103"), netip.MustParseAddrPort("10.199.0.2:50103")))))
	time.Sleep(50 * time.Millisecond)
	_, met := greeters[idA].Index(idB)
	require.False(t, met)
	require.NoError(t, greeters[idB].Apply(list(1, peerOf(idA, keys[idA].key, netip.MustParseAddrPort("10.199.0.1:50103")))))

	for id, other := range map[string]string{idA: idB, idB: idA} {
		g := greeters[id]
		require.Eventually(t, func() bool { _, met := g.Index(other); return met }, 2*time.Second, 5*time.Millisecond)
		index, _ := g.Index(other)
		record, _, err := g.cfg.Maps.Peers.Lookup(index)
		require.NoError(t, err)
		require.Equal(t, keys[other].ip, record.Outer.String())
		require.Equal(t, keys[id].ip, record.Local.String())
		require.EqualValues(t, 50103, record.Port)
		require.EqualValues(t, 1400, record.Mtu)
		require.EqualValues(t, ifindices[id], record.Ifindex)
		require.Len(t, g.Peers(), 1)
		require.True(t, g.Peers()[0].Met)
	}
}
