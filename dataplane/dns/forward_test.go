// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// another is a resolver elsewhere.
type another struct {
	at netip.AddrPort

	mu    sync.Mutex
	heard []*dns.Msg
	how   func(req *dns.Msg, tcp bool) *dns.Msg
}

func newAnother(t *testing.T, how func(req *dns.Msg, tcp bool) *dns.Msg) *another {
	t.Helper()
	a := &another{how: how, at: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))}
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan struct{})
		s := &dns.Server{Addr: a.at.String(), Net: network, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(a.serve)}
		go func() { _ = s.ListenAndServe() }()
		select {
		case <-started:
		case <-time.After(5 * time.Second):
			t.Fatal("the other resolver does not start")
		}
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return a
}

func (a *another) serve(w dns.ResponseWriter, req *dns.Msg) {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	a.mu.Lock()
	a.heard = append(a.heard, req)
	how := a.how
	a.mu.Unlock()
	if m := how(req, tcp); m != nil {
		_ = w.WriteMsg(m)
	}
}

func (a *another) query(n int) *dns.Msg {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard[n]
}

func (a *another) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.heard)
}

// outside answers with so many addresses, as many as fit.
func outside(n int) func(*dns.Msg, bool) *dns.Msg {
	return func(req *dns.Msg, tcp bool) *dns.Msg {
		m := new(dns.Msg).SetReply(req)
		for i := range n {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
				A: net.IPv4(192, 0, 2, byte(i))})
		}
		size := dns.MaxMsgSize
		if !tcp {
			size = sizeFor(req)
		}
		m.Truncate(size)
		return m
	}
}

func through(g *rig, others ...*another) {
	var at []netip.AddrPort
	for _, o := range others {
		at = append(at, o.at)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.others = at
}

func TestOtherNamesAreForwarded(t *testing.T) {
	g, o := newRig(t), newAnother(t, outside(1))
	through(g, o)
	for _, network := range []string{"udp", "tcp"} {
		m := g.ask(network, acme, "WWW.example.org", dns.TypeA)
		require.Equal(t, []string{"192.0.2.0"}, values(m))
		require.EqualValues(t, 300, m.Answer[0].Header().Ttl)
		require.False(t, m.Authoritative)
	}
	require.Equal(t, "WWW.example.org.", o.query(0).Question[0].Name)
	require.NotEmpty(t, values(g.ask("udp", acme, "1.2.0.192.in-addr.arpa", dns.TypeA)), "reverse names of others too")
	n := o.asked()
	for _, name := range []string{"web.prod.shop.acme.oak", "x.oak", "oak", "9.0.30.10.in-addr.arpa", "2.0.18.10.in-addr.arpa"} {
		g.ask("udp", acme, name, dns.TypeTXT)
	}
	require.Equal(t, n, o.asked(), "names of the overlay never leave")
}

func TestOptionsOfForwardedQueries(t *testing.T) {
	g, o := newRig(t), newAnother(t, func(req *dns.Msg, tcp bool) *dns.Msg {
		m := outside(1)(req, tcp)
		m.AuthenticatedData = true
		if req.IsEdns0() != nil {
			m.SetEdns0(4096, true)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"}, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer}}
		}
		return m
	})
	through(g, o)
	plain := g.ask("udp", acme, "a.example", dns.TypeA)
	require.Nil(t, o.query(0).IsEdns0())
	require.Nil(t, plain.IsEdns0())
	require.True(t, plain.AuthenticatedData)

	q := new(dns.Msg).SetQuestion("b.example.", dns.TypeA)
	q.CheckingDisabled = true
	q.SetEdns0(4096, true)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "8899aabbccddeeff"}}
	m, err := g.query("udp", acme, q)
	require.NoError(t, err)
	sent := o.query(1)
	require.True(t, sent.IsEdns0().Do() && sent.CheckingDisabled)
	require.EqualValues(t, maxUDP, sent.IsEdns0().UDPSize())
	require.Empty(t, sent.IsEdns0().Option, "a cookie is between the container and this resolver")
	require.NotEqual(t, q.Id, sent.Id)
	require.Equal(t, q.Id, m.Id)
	require.Len(t, m.IsEdns0().Option, 1)
	require.IsType(t, &dns.EDNS0_EDE{}, m.IsEdns0().Option[0])
}

func TestLargeAnswersGoByConnection(t *testing.T) {
	g, o := newRig(t), newAnother(t, outside(250))
	through(g, o)
	m := g.ask("udp", acme, "many.example", dns.TypeA)
	m.Compress = true
	require.True(t, m.Truncated)
	require.LessOrEqual(t, m.Len(), dns.MinMsgSize)
	q := new(dns.Msg).SetQuestion("many.example.", dns.TypeA)
	q.SetEdns0(dns.MaxMsgSize, false)
	m, err := g.query("udp", acme, q)
	require.NoError(t, err)
	m.Compress = true
	require.True(t, m.Truncated)
	require.Greater(t, m.Len(), dns.MinMsgSize)
	require.LessOrEqual(t, m.Len(), maxUDP)
	require.Len(t, g.ask("tcp", acme, "many.example", dns.TypeA).Answer, 250)
}

func TestOtherServersAreAskedWhenOneFails(t *testing.T) {
	g := newRig(t)
	failing := newAnother(t, func(req *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(req, dns.RcodeServerFailure) })
	silent := newAnother(t, func(*dns.Msg, bool) *dns.Msg { return nil })
	liar := newAnother(t, func(req *dns.Msg, tcp bool) *dns.Msg {
		m := outside(1)(req, tcp)
		m.Question[0].Name = "other.example."
		return m
	})
	good := newAnother(t, outside(1))
	through(g, failing, good)
	require.Len(t, g.ask("udp", acme, "a.example", dns.TypeA).Answer, 1)
	through(g, failing)
	require.Equal(t, dns.RcodeServerFailure, g.ask("udp", acme, "a.example", dns.TypeA).Rcode)
	through(g, liar, good)
	require.Len(t, g.ask("udp", acme, "a.example", dns.TypeA).Answer, 1)
	g.forward.mu.Lock()
	g.forward.first = 0
	g.forward.mu.Unlock()
	through(g, silent, good)
	start := time.Now()
	require.Len(t, g.ask("udp", acme, "a.example", dns.TypeA).Answer, 1)
	require.GreaterOrEqual(t, time.Since(start), tryFor)
	asked := silent.asked()
	require.Len(t, g.ask("udp", acme, "b.example", dns.TypeA).Answer, 1)
	require.Equal(t, asked, silent.asked(), "who was silent is not asked first again")
	require.Zero(t, g.forward.begin(time.Now().Add(firstAgain)), "until some time has passed")

	through(g)
	q := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	q.SetEdns0(1232, false)
	m, err := g.query("udp", acme, q)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeServerFailure, m.Rcode)
	require.Contains(t, m.IsEdns0().String(), "resolv.conf")
}

func TestFloodWaitsForNobody(t *testing.T) {
	g := newRig(t)
	silent := newAnother(t, func(*dns.Msg, bool) *dns.Msg { return nil })
	through(g, silent)
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(acme)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(g.at)))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	for i := range 2 * inFlightEach {
		b, err := new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.example.", i), dns.TypeA).Pack()
		require.NoError(t, err)
		_, err = c.Write(b)
		require.NoError(t, err)
	}
	require.Equal(t, dns.RcodeNameError, g.ask("udp", evil, "nothing.oak", dns.TypeA).Rcode, "others go on at once")
	g.sources.mu.Lock()
	defer g.sources.mu.Unlock()
	require.LessOrEqual(t, g.sources.inFlight, inFlightEach)
}

// Whatever bytes come as a query, nothing panics, and what is answered is an answer to what was asked.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"web.prod.shop.acme.oak.", "1.0.30.10.in-addr.arpa.", "oak.", "."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(4096, true)
		b, err := m.Pack()
		require.NoError(f, err)
		f.Add(b)
		f.Add(b[:12]) // a header that announces more
	}
	r := New(Config{Organization: func(netip.Addr) (string, bool) { return "acme", true }, Publish: func() {}, Changed: func() {}})
	r.forward.servers = func() []netip.AddrPort { return nil }
	from := netip.MustParseAddr(acme)
	r.Restore(Snapshot{Names: []Remembered{{ResolvedName: somebody("web.prod.shop.acme.oak", "10.30.0.1")}}})
	never := time.Unix(1<<40, 0)
	r.sources.get(from, never).fresh.AllowN(never, freshBurst) // no lookup waits
	f.Fuzz(func(t *testing.T, data []byte) {
		req := new(dns.Msg)
		if req.Unpack(data) != nil {
			return
		}
		m := r.answer(t.Context(), req, from, "acme", false)
		m.Truncate(sizeFor(req))
		b, err := m.Pack()
		if err != nil {
			t.Skip() // of a name that cannot be written: the asker gets nothing
		}
		if len(b) > maxUDP || m.Id != req.Id || !m.Response {
			t.Fatalf("%v got %v", req, m)
		}
	})
}
