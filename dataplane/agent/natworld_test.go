// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

const cloudAddr = "203.0.113.9"

// internet is an underlay in which workers live behind routers of their own, and the cluster has a public address.
type internet struct {
	t        *testing.T
	ns       netns.NsHandle // holds a bridge that has the cluster's address
	observer cloudObserver
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	n := &internet{t: t, ns: netnstest.NewIPv4(t)}
	within(t, n.ns, func() {
		la := netlink.NewLinkAttrs()
		la.Name = "br0"
		require.NoError(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: la}))
		up(t, "br0", cloudAddr+"/24")
	})
	n.observe()
	return n
}

func up(t *testing.T, name, addr string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	if addr != "" {
		a, err := netlink.ParseAddr(addr)
		require.NoError(t, err)
		require.NoError(t, netlink.AddrAdd(l, a))
	}
	require.NoError(t, netlink.LinkSetUp(l))
}

// plug joins a namespace to the internet: its device wan has the address.
func (n *internet) plug(ns netns.NsHandle, port, device, addr string) {
	n.t.Helper()
	within(n.t, n.ns, func() {
		br, err := netlink.LinkByName("br0")
		require.NoError(n.t, err)
		la := netlink.NewLinkAttrs()
		la.Name = port
		require.NoError(n.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: device, PeerNamespace: netlink.NsFd(int(ns))}))
		l, err := netlink.LinkByName(port)
		require.NoError(n.t, err)
		require.NoError(n.t, netlink.LinkSetMaster(l, br))
		require.NoError(n.t, netlink.LinkSetUp(l))
	})
	within(n.t, ns, func() { up(n.t, device, addr) })
}

// router is a NAT as homes have them: what is inside leaves with its address, and nothing that was not asked for comes in.
type router struct {
	t    *testing.T
	ns   netns.NsHandle
	lan  int // devices towards hosts
	addr string
}

// router makes one. Its inside is 192.168.1.0/24, as everybody's is.
func (n *internet) router(name, addr string) *router {
	n.t.Helper()
	r := &router{t: n.t, ns: netnstest.NewIPv4(n.t), addr: addr}
	within(n.t, r.ns, func() {
		la := netlink.NewLinkAttrs()
		la.Name = "lan"
		require.NoError(n.t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: la}))
		up(n.t, "lan", "192.168.1.1/24")
		require.NoError(n.t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
	})
	n.plug(r.ns, name, "wan", addr+"/24")
	r.masquerade("")
	return r
}

// masquerade has what leaves get an address, and of the tunnels the port, of the router; all that it remembers is forgotten, as with a
// router that was switched off and on again.
func (r *router) masquerade(port string) {
	r.t.Helper()
	if port == "" {
		r.translate("masquerade")
		return
	}
	r.translate("udp sport 50103 masquerade to :" + port)
}

// symmetric has what leaves get another port for each other side, as with many a carrier's NAT.
func (r *router) symmetric() {
	r.t.Helper()
	r.translate("udp sport 50103 masquerade random,fully-random")
}

// open lets others in at one port, to the tunnel's of a host behind it, and forgets what went through another one.
func (r *router) open(port, host string) {
	r.t.Helper()
	r.nft(`table ip open {}
delete table ip open
table ip open {
	chain to { type nat hook prerouting priority dstnat; iifname "wan" udp dport ` + port + ` dnat to ` + host + `:50103; }
}
insert rule ip home through ct status dnat accept
`)
	within(r.t, r.ns, func() { require.NoError(r.t, netlink.ConntrackTableFlush(netlink.ConntrackTable)) })
}

// translate has what leaves be translated by a rule of nft, and forgets likewise.
func (r *router) translate(rule string) {
	r.t.Helper()
	script := `table ip home {}
delete table ip home
table ip home {
	chain out { type nat hook postrouting priority srcnat; oifname "wan" ` + rule + `; }
	chain in { type filter hook input priority filter; iifname "wan" ct state new drop; }
	chain through { type filter hook forward priority filter; iifname "wan" ct state new drop; }
}
`
	r.nft(script)
	within(r.t, r.ns, func() { require.NoError(r.t, netlink.ConntrackTableFlush(netlink.ConntrackTable)) })
}

func (r *router) nft(script string) {
	r.t.Helper()
	within(r.t, r.ns, func() {
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(script)
		out, err := nft.CombinedOutput()
		require.NoError(r.t, err, string(out))
	})
}

// host puts a host behind the router.
func (r *router) host(ns netns.NsHandle, addr string) {
	r.t.Helper()
	r.lan++
	port := fmt.Sprintf("lan%d", r.lan)
	within(r.t, r.ns, func() {
		br, err := netlink.LinkByName("lan")
		require.NoError(r.t, err)
		la := netlink.NewLinkAttrs()
		la.Name = port
		require.NoError(r.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: "up", PeerNamespace: netlink.NsFd(int(ns))}))
		l, err := netlink.LinkByName(port)
		require.NoError(r.t, err)
		require.NoError(r.t, netlink.LinkSetMaster(l, br))
		require.NoError(r.t, netlink.LinkSetUp(l))
	})
	within(r.t, ns, func() {
		up(r.t, "lo", "")
		up(r.t, "up", addr+"/24")
		require.NoError(r.t, netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(192, 168, 1, 1)}))
	})
}

// cloudObserver answers hellos as the cluster does, of workers that the test has named.
type cloudObserver struct {
	id       [12]byte
	key      *ecdh.PrivateKey
	conns    []*net.UDPConn // at both ports
	sequence atomic.Uint64
}

const observerPort, otherObserverPort = 10003, 10100

func (n *internet) observe() {
	n.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(n.t, err)
	n.observer.id, n.observer.key = [12]byte{0: 0xc1}, key
	for _, port := range []int{observerPort, otherObserverPort} {
		within(n.t, n.ns, func() {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(cloudAddr), Port: port})
			require.NoError(n.t, err)
			n.observer.conns = append(n.observer.conns, conn)
			n.t.Cleanup(func() { _ = conn.Close() })
		})
	}
}

// answer answers hellos of one worker until the test ends; others are left to others.
func (n *internet) answer(keys map[[12]byte][]byte) {
	for _, conn := range n.observer.conns {
		go func() {
			buf := make([]byte, 2048)
			for {
				size, from, err := conn.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				if answer := n.observer.answer(buf[:size], from, keys); answer != nil {
					_, _ = conn.WriteToUDPAddrPort(answer, from)
				}
			}
		}()
	}
}

func (o *cloudObserver) answer(datagram []byte, from netip.AddrPort, keys map[[12]byte][]byte) []byte {
	signed, err := hello.Untunneled(datagram)
	if err != nil {
		return nil
	}
	h, err := hello.Decode(signed)
	if err != nil || keys[h.Sender] == nil {
		return nil
	}
	key, err := hello.PairKey(o.key, keys[h.Sender], h.Sender, o.id)
	if err != nil || !hello.Genuine(signed, key) {
		return nil
	}
	return hello.Tunneled(hello.Hello{
		Sender: o.id, Receiver: h.Sender, Quoted: h.At, Observed: from,
		At: hello.Position{Start: 1, Sequence: o.sequence.Add(1)},
	}.Encode(key))
}

// node is a worker's configuration with the observer in it.
func (n *internet) node(w *worker) wire.NetNode {
	node := w.c.node(w.subnet)
	node.Observer = &wire.NetObserver{
		ID: hex.EncodeToString(n.observer.id[:]), PublicKey: n.observer.key.PublicKey().Bytes(), Port: observerPort, OtherPort: otherObserverPort,
	}
	return node
}

// sees waits until the worker has told the cluster an outer address.
func (w *worker) sees(outer string) {
	w.t.Helper()
	at := netip.MustParseAddrPort(outer)
	w.eventually("it is seen at "+outer, func() bool {
		if !w.c.last(wire.TopicNetEndpoints, &w.told) {
			return false
		}
		for _, a := range w.told.Outer {
			if a == at {
				return true
			}
		}
		return false
	})
}
