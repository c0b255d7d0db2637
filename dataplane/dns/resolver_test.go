// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Containers of the tests, all on the loopback, where the resolver has the address 127.0.0.1.
const (
	acme     = "127.0.1.1"
	evil     = "127.0.1.2"
	stranger = "127.0.1.9"
)

// rig is a resolver on real sockets, with a cluster that answers at once.
type rig struct {
	*Resolver
	t  *testing.T
	at string

	mu       sync.Mutex
	revision uint64
	known    map[wire.NameKey]wire.ResolvedName
	silent   bool
	wanted   []netip.Addr
	others   []netip.AddrPort // that it forwards to
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, known: map[wire.NameKey]wire.ResolvedName{}}
	signal := make(chan struct{}, 1)
	g.Resolver = New(Config{
		Organization: func(a netip.Addr) (string, bool) {
			o, ok := map[string]string{acme: "acme", evil: "evil"}[a.String()]
			return o, ok
		},
		Want:    func(a netip.Addr) { g.mu.Lock(); defer g.mu.Unlock(); g.wanted = append(g.wanted, a) },
		Changed: func() {},
		Publish: func() {
			select {
			case signal <- struct{}{}:
			default:
			}
		},
	})
	g.forward.servers = func() []netip.AddrPort {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.others
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		for {
			select {
			case <-done:
				return
			case <-signal:
				g.reply()
			}
		}
	}()
	g.port = freePort(t)
	require.NoError(t, g.Listen([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, semantic.DefaultRanges()))
	t.Cleanup(g.Close)
	g.at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), g.port).String()
	return g
}

// freePort returns one that nobody has, for datagrams and connections.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		p, err := net.ListenPacket("udp4", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return l.Addr().(*net.TCPAddr).AddrPort().Port()
		}
	}
	t.Fatal("no free port")
	return 0
}

// reply is the cluster's answer to what is wanted and not held.
func (g *rig) reply() {
	g.mu.Lock()
	g.revision++
	m := wire.NetResolved{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: g.revision})}
	for _, i := range g.Interest() {
		if n, ok := g.known[i.NameKey]; ok && i.Held.IsZero() {
			m.Names = append(m.Names, n)
		} else if !ok && i.Held.IsZero() {
			m.Names = append(m.Names, wire.ResolvedName{NameKey: i.NameKey, Resolution: wire.ResolvedNone})
		}
	}
	silent := g.silent
	g.mu.Unlock()
	if !silent {
		_ = g.Resolved(m)
	}
}

func (g *rig) knows(organization, name, target string, addresses ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := wire.ResolvedName{NameKey: wire.NameKey{Organization: organization, Name: name}, Resolution: wire.ResolvedService, Target: target}
	for _, a := range addresses {
		n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
	}
	g.known[n.NameKey] = n
}

// query sends a message from an address, and fails only where no answer comes.
func (g *rig) query(network, from string, m *dns.Msg) (*dns.Msg, error) {
	d := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c := dns.Client{Net: network, Dialer: d, Timeout: 5 * time.Second, UDPSize: dns.MaxMsgSize}
	answer, _, err := c.Exchange(m, g.at)
	return answer, err
}

func (g *rig) ask(network, from, name string, kind uint16) *dns.Msg {
	g.t.Helper()
	m, err := g.query(network, from, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind))
	require.NoError(g.t, err, "%s %s from %s", network, name, from)
	return m
}

// values are the data of the records of an answer.
func values(m *dns.Msg) (out []string) {
	for _, rr := range m.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return out
}

func TestNamesOfTheOverlay(t *testing.T) {
	g := newRig(t)
	reverse := semantic.ReverseName(netip.MustParseAddr("fdff:2000::1"))
	g.knows("acme", "web.prod.shop.acme.oak", "", "10.30.0.1", "fdff:2000::1")
	g.knows("acme", "3.web.prod.shop.acme.oak", "", "10.30.0.9")
	g.knows("acme", reverse, "web.prod.shop.acme.oak")
	for _, network := range []string{"udp", "tcp"} {
		m := g.ask(network, acme, "Web.prod.Shop.acme.OAK", dns.TypeA)
		require.Equal(t, dns.RcodeSuccess, m.Rcode)
		require.True(t, m.Authoritative && m.RecursionAvailable)
		require.Equal(t, []string{"10.30.0.1"}, values(m))
		require.Equal(t, "Web.prod.Shop.acme.OAK.", m.Answer[0].Header().Name, "as it was asked for")
		require.EqualValues(t, 5, m.Answer[0].Header().Ttl)
		require.Equal(t, []string{"fdff:2000::1"}, values(g.ask(network, acme, "web.prod.shop.acme.oak", dns.TypeAAAA)))
		require.Equal(t, []string{"10.30.0.1", "fdff:2000::1"}, values(g.ask(network, acme, "web.prod.shop.acme.oak", dns.TypeANY)))
		require.Equal(t, []string{"web.prod.shop.acme.oak."}, values(g.ask(network, acme, reverse, dns.TypePTR)))

		for name, kind := range map[string]uint16{"3.web.prod.shop.acme.oak": dns.TypeAAAA, "web.prod.shop.acme.oak": dns.TypeHTTPS, "oak": dns.TypeA} {
			m = g.ask(network, acme, name, kind)
			require.Equal(t, dns.RcodeSuccess, m.Rcode, name)
			require.Empty(t, m.Answer, name)
			require.Equal(t, dns.TypeSOA, m.Ns[0].Header().Rrtype, name)
		}
		for _, name := range []string{"4.web.prod.shop.acme.oak", "nothing.oak", "a-b.prod.shop.acme.oak", "9.0.30.10.in-addr.arpa", "2.0.18.10.in-addr.arpa"} {
			m = g.ask(network, acme, name, dns.TypeA)
			require.Equal(t, dns.RcodeNameError, m.Rcode, name)
			soa := m.Ns[0].(*dns.SOA)
			require.True(t, dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)), "%s is of %s", name, soa.Hdr.Name)
			require.LessOrEqual(t, soa.Minttl, uint32(5))
			require.NotZero(t, soa.Minttl)
		}
		require.Equal(t, dns.RcodeNameError, g.ask(network, evil, "web.prod.shop.acme.oak", dns.TypeA).Rcode)
		require.Equal(t, dns.RcodeNameError, g.ask(network, evil, reverse, dns.TypePTR).Rcode)
		require.Len(t, g.ask(network, acme, "oak", dns.TypeSOA).Answer, 1)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Contains(t, g.wanted, netip.MustParseAddr("10.30.0.1"), "its routes are asked for before the first packet")
}

func TestStrangersGetNothing(t *testing.T) {
	g := newRig(t)
	g.knows("acme", "web.prod.shop.acme.oak", "", "10.30.0.1")
	for _, network := range []string{"udp", "tcp"} {
		d := &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(stranger)}}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(stranger)}
		}
		c := dns.Client{Net: network, Dialer: d, Timeout: 200 * time.Millisecond}
		_, _, err := c.Exchange(new(dns.Msg).SetQuestion("web.prod.shop.acme.oak.", dns.TypeA), g.at)
		require.Error(t, err, network)
	}
	require.Empty(t, g.Interest())
}

func TestOddQueries(t *testing.T) {
	g := newRig(t)
	ask := func(change func(*dns.Msg)) *dns.Msg {
		m := new(dns.Msg).SetQuestion("web.prod.shop.acme.oak.", dns.TypeA)
		change(m)
		answer, err := g.query("udp", acme, m)
		require.NoError(t, err)
		return answer
	}
	require.Equal(t, dns.RcodeRefused, ask(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }).Rcode)
	require.Equal(t, dns.RcodeRefused, ask(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }).Rcode)
	require.Equal(t, dns.RcodeNotImplemented, ask(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }).Rcode)
	require.Equal(t, dns.RcodeNotImplemented, ask(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }).Rcode)
	require.Equal(t, dns.RcodeFormatError, ask(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }).Rcode)
	bad := ask(func(m *dns.Msg) { m.SetEdns0(4096, false); m.IsEdns0().SetVersion(1) })
	require.Equal(t, dns.RcodeBadVers, bad.Rcode)
	good := ask(func(m *dns.Msg) { m.SetEdns0(4096, true) })
	require.Equal(t, dns.RcodeNameError, good.Rcode)
	require.EqualValues(t, maxUDP, good.IsEdns0().UDPSize())
	require.Nil(t, ask(func(*dns.Msg) {}).IsEdns0(), "who sends none gets none")
}

func TestMutilatedQueriesEndNothing(t *testing.T) {
	g := newRig(t)
	whole, err := new(dns.Msg).SetQuestion("web.prod.shop.acme.oak.", dns.TypeA).Pack()
	require.NoError(t, err)
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(acme)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(g.at)))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	for n := range whole {
		_, err = c.Write(whole[:n])
		require.NoError(t, err)
	}
	require.Equal(t, dns.RcodeNameError, g.ask("udp", acme, "web.prod.shop.acme.oak", dns.TypeA).Rcode)
}

func TestSilentClusterIsNoAnswer(t *testing.T) {
	g := newRig(t)
	g.mu.Lock()
	g.silent = true
	g.mu.Unlock()
	m := new(dns.Msg).SetQuestion("web.prod.shop.acme.oak.", dns.TypeA)
	m.SetEdns0(1232, false)
	start := time.Now()
	answer, err := g.query("udp", acme, m)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeServerFailure, answer.Rcode)
	require.Less(t, time.Since(start), 2*time.Second)
	require.Contains(t, answer.IsEdns0().String(), "cluster orchestrator")
	registry := prometheus.NewRegistry()
	registry.MustRegister(g.Collectors()...)
	families, err := registry.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				counted[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	require.EqualValues(t, 1, counted[resultUnavailable])
	require.Contains(t, counted, resultForwarded)
}

func TestOneContainerIsBounded(t *testing.T) {
	g := newRig(t)
	var limited, none int
	for i := range freshBurst + 40 {
		switch g.ask("udp", acme, fmt.Sprintf("n%d.prod.shop.acme.oak", i), dns.TypeA).Rcode {
		case dns.RcodeServerFailure:
			limited++
		case dns.RcodeNameError:
			none++
		}
	}
	require.GreaterOrEqual(t, none, freshBurst)
	require.Positive(t, limited)
	require.Equal(t, dns.RcodeNameError, g.ask("udp", evil, "web.prod.shop.acme.oak", dns.TypeA).Rcode, "others go on")

	// Connections: so many and no more, until one is closed.
	var open []net.Conn
	dial := func() (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(acme)}}
		c, err := d.Dial("tcp4", g.at)
		require.NoError(t, err)
		co := &dns.Conn{Conn: c}
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		if err = co.WriteMsg(new(dns.Msg).SetQuestion("oak.", dns.TypeSOA)); err == nil {
			_, err = co.ReadMsg()
		}
		return c, err
	}
	for range connectionsEach {
		c, err := dial()
		require.NoError(t, err)
		open = append(open, c)
	}
	c, err := dial()
	require.Error(t, err)
	_ = c.Close()
	for _, c := range open {
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { c, err := dial(); _ = c.Close(); return err == nil }, 5*time.Second, 10*time.Millisecond)
}

func TestInFlightIsBounded(t *testing.T) {
	s := newSources(func(netip.Addr) (string, bool) { return "", true })
	now := time.Unix(1_000_000, 0)
	one := netip.MustParseAddr(acme)
	var ends []func()
	for range inFlightEach {
		end, ok := s.begin(one, now)
		require.True(t, ok)
		ends = append(ends, end)
	}
	_, ok := s.begin(one, now)
	require.False(t, ok)
	for i := range inFlightAll/inFlightEach - 1 {
		for range inFlightEach {
			_, ok = s.begin(netip.AddrFrom4([4]byte{127, 0, 2, byte(i)}), now)
			require.True(t, ok)
		}
	}
	_, ok = s.begin(netip.MustParseAddr(evil), now)
	require.False(t, ok, "all together have a bound too")
	for _, end := range ends {
		end()
	}
	_, ok = s.begin(netip.MustParseAddr(evil), now)
	require.True(t, ok)
	s.expire(now.Add(idleSource))
	require.NotContains(t, s.all, one)
	require.Contains(t, s.all, netip.MustParseAddr(evil), "it has a query under way")
	for range queriesBurst {
		require.True(t, s.admit(one, now))
	}
	require.False(t, s.admit(one, now))
	require.True(t, s.admit(one, now.Add(time.Second)))
}

func TestListenFollowsTheGateways(t *testing.T) {
	g := newRig(t)
	both := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
	require.NoError(t, g.Listen(both, semantic.DefaultRanges()))
	require.NoError(t, g.Listen(both, semantic.DefaultRanges()), "the same again changes nothing")
	second := strings.Replace(g.at, "127.0.0.1", "127.0.0.2", 1)
	for _, at := range []string{g.at, second} {
		g.at = at
		require.Equal(t, dns.RcodeNameError, g.ask("udp", acme, "nothing.oak", dns.TypeA).Rcode)
	}
	require.NoError(t, g.Listen(both[:1], semantic.DefaultRanges()))
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp4", second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond)
	require.Error(t, g.Listen([]netip.Addr{netip.MustParseAddr("192.0.2.77")}, semantic.DefaultRanges()), "an address that the host does not have")
	require.NoError(t, g.Listen(both[:1], semantic.DefaultRanges()))
	g.Close()
	require.NoError(t, g.Listen(both, semantic.DefaultRanges()), "after the end nothing is opened")
	require.Empty(t, slices.Collect(func(yield func(listener) bool) {
		for l := range g.listeners.open {
			yield(l)
		}
	}))
}
