// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// bench is a table among scripted neighbours.
type bench struct {
	*Table
	endpoints []wire.LocalEndpoint
	own       []netip.Addr
	exposed   []Exposure // what programs know
	broken    error
}

func (b *bench) Expose(own []netip.Addr, list []Exposure) error {
	b.own, b.exposed = own, list
	return b.broken
}

// newTable returns a table whose own address is IPv4's loopback, in the state folder given or one of its own.
func newTable(t *testing.T, dir ...string) *bench {
	t.Helper()
	b := &bench{}
	file := filepath.Join(append(dir, t.TempDir())[0], "ports.json")
	var err error
	b.Table, err = Open(Config{StateFile: file, Programs: []Programs{b}, Log: slog.New(slog.DiscardHandler),
		Endpoints: func() []wire.LocalEndpoint { return b.endpoints },
		Own:       func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		Blocked:   func() wire.HostPorts { return wire.HostPorts{UDP: []uint16{50103}} },
	})
	require.NoError(t, err)
	return b
}

func loopback(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
}

func key(n int) wire.InstanceKey {
	return wire.InstanceKey{ServiceID: "5e5e5e5e5e5e5e5e5e5e5e5e", Number: n}
}

func tcp(host uint16) wire.Port {
	return wire.Port{Host: host, Container: 80, Protocol: wire.ProtocolTCP}
}
func udp(host uint16) wire.Port {
	return wire.Port{Host: host, Container: 80, Protocol: wire.ProtocolUDP}
}

// attach does what the local API does for an endpoint.
func (b *bench) attach(t *testing.T, n int, list ...wire.Port) error {
	t.Helper()
	done, err := b.Claim(key(n), list)
	if err != nil {
		return err
	}
	b.put(n, list...)
	require.NoError(t, done())
	return nil
}

func (b *bench) put(n int, list ...wire.Port) {
	b.remove(n)
	b.endpoints = append(b.endpoints, wire.LocalEndpoint{
		LocalAttach: wire.LocalAttach{InstanceKey: key(n), Ports: list},
		NamespaceIP: netip.AddrFrom4([4]byte{10, 18, 0, byte(n)}),
	})
}

func (b *bench) remove(n int) {
	var rest []wire.LocalEndpoint
	for _, e := range b.endpoints {
		if e.InstanceKey != key(n) {
			rest = append(rest, e)
		}
	}
	b.endpoints = rest
}

func TestPortIsExposedOnceAndGivenBack(t *testing.T) {
	netnstest.Enter(t)
	b := newTable(t)
	require.NoError(t, b.attach(t, 2, tcp(8080), udp(8080), tcp(9000)))
	require.Equal(t, "8080,9000", reserved(t))
	require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, b.own)
	ip := netip.MustParseAddr("10.18.0.2")
	require.Equal(t, []Exposure{
		{InstanceKey: key(2), Port: tcp(8080), NamespaceIP: ip}, {InstanceKey: key(2), Port: udp(8080), NamespaceIP: ip},
		{InstanceKey: key(2), Port: tcp(9000), NamespaceIP: ip},
	}, b.exposed)

	require.ErrorIs(t, b.attach(t, 3, tcp(8080)), ErrTaken)
	require.NoError(t, b.attach(t, 3, udp(9000)))
	require.NoError(t, b.attach(t, 2, tcp(8080)), "its own it can have again")
	require.Len(t, b.exposed, 2)
	require.Equal(t, "8080,9000", reserved(t))
	b.remove(2)
	require.NoError(t, b.Settle())
	require.Equal(t, "9000", reserved(t))
	require.NoError(t, b.attach(t, 4, tcp(8080)))
}

func TestClaimsOfThoseBeingAttachedCount(t *testing.T) {
	netnstest.Enter(t)
	b := newTable(t)
	done, err := b.Claim(key(2), []wire.Port{tcp(8080)})
	require.NoError(t, err)
	again, err := b.Claim(key(2), []wire.Port{tcp(8080)})
	require.NoError(t, err, "it may be asked twice")
	require.NoError(t, b.Settle())
	require.Equal(t, "8080", reserved(t), "its endpoint is not there yet, and its port is kept all the same")
	require.Empty(t, b.exposed)
	require.ErrorIs(t, b.attach(t, 3, tcp(8080)), ErrTaken)
	require.NoError(t, done()) // it could not be attached
	require.NoError(t, done())
	require.ErrorIs(t, b.attach(t, 3, tcp(8080)), ErrTaken, "the other is still at it")
	require.NoError(t, again())
	require.Empty(t, reserved(t))
	require.NoError(t, b.attach(t, 3, tcp(8080)))
}

func TestPortsOfProcessesAndOfThePlatformAreRefused(t *testing.T) {
	netnstest.Enter(t)
	loopback(t)
	b := newTable(t)
	l, err := net.Listen("tcp4", ":8080")
	require.NoError(t, err)
	err = b.attach(t, 2, tcp(9000), tcp(8080))
	require.ErrorIs(t, err, ErrTaken)
	require.ErrorContains(t, err, "a process of this worker listens on 8080/tcp")
	require.Empty(t, reserved(t))
	require.NoError(t, b.attach(t, 2, udp(8080)), "the other protocol is free")
	require.NoError(t, l.Close())
	require.NoError(t, b.attach(t, 3, tcp(8080)))

	require.ErrorIs(t, b.attach(t, 4, udp(50103)), ErrTaken)
	for _, bad := range [][]wire.Port{{tcp(0)}, {{Host: 1, Container: 0, Protocol: "tcp"}}, {{Host: 1, Container: 1, Protocol: "sctp"}}, {tcp(1), tcp(1)}} {
		require.ErrorIs(t, b.attach(t, 4, bad...), ErrInvalid)
	}
}

func TestRestartTakesThePortsBackWhoeverListens(t *testing.T) {
	netnstest.Enter(t)
	loopback(t)
	dir := t.TempDir()
	b := newTable(t, dir)
	require.NoError(t, b.attach(t, 2, tcp(8080)))
	require.NoError(t, b.attach(t, 3, tcp(9000)))
	l, err := net.Listen("tcp4", ":8080") // asked for by its number, which nothing forbids
	require.NoError(t, err)
	defer func() { _ = l.Close() }()

	next := newTable(t, dir)
	next.put(2, tcp(8080))
	require.NoError(t, next.Settle())
	require.Len(t, next.exposed, 1)
	require.Equal(t, "8080", reserved(t), "of the endpoint that is gone nothing is left")
	require.NoError(t, next.attach(t, 2, tcp(8080)))
	require.NoError(t, next.Check())
	require.Len(t, next.clashes, 1)
	require.NoError(t, l.Close())
	require.NoError(t, next.Check())
	require.Empty(t, next.clashes)
}

func TestOfTwoEndpointsWithOnePortTheFirstKeepsIt(t *testing.T) {
	netnstest.Enter(t)
	b := newTable(t)
	require.NoError(t, b.attach(t, 3, tcp(8080)))
	b.put(2, tcp(8080), tcp(9000))
	b.endpoints[0], b.endpoints[1] = b.endpoints[1], b.endpoints[0]
	for range 2 {
		require.NoError(t, b.Settle())
		require.Len(t, b.exposed, 2)
		require.Equal(t, key(3), b.exposed[0].InstanceKey)
		b.endpoints[0], b.endpoints[1] = b.endpoints[1], b.endpoints[0]
	}
}

func TestProgramsThatFailAreToldAgain(t *testing.T) {
	netnstest.Enter(t)
	b := newTable(t)
	done, err := b.Claim(key(2), []wire.Port{tcp(8080)})
	require.NoError(t, err)
	b.put(2, tcp(8080))
	b.broken = errors.New("no memory")
	require.ErrorContains(t, done(), "no memory")
	b.broken = nil
	require.NoError(t, b.Check())
	require.Len(t, b.exposed, 1)
}
