// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// lookup asks the resolver at the gateway from within a container.
func lookup(t *testing.T, ns netns.NsHandle, network, gateway, name string, kind uint16, timeout time.Duration) (m *dns.Msg, err error) {
	t.Helper()
	c := dns.Client{Net: network, Timeout: timeout}
	within(t, ns, func() {
		m, _, err = c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), net.JoinHostPort(gateway, "53"))
	})
	return m, err
}

// Names over the real programs: a container asks its gateway, the cluster answers, others get nothing, all else is forwarded; after a kill,
// names that were known are answered within a second, without a cluster.
func TestContainersLookNamesUp(t *testing.T) {
	h, c := newHost(t), newCluster(t, workerID)
	outside := netnstest.New(t)
	cable(t, h.ns, outside)
	h.cfg.ResolvConf = filepath.Join(filepath.Dir(h.cfg.StateDir), "resolv.conf")
	require.NoError(t, os.WriteFile(h.cfg.ResolvConf, []byte("nameserver 10.18.0.1\nnameserver 192.0.2.2\n"), 0o600)) // the first is the gateway
	serveOutside(t, outside)
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, ns := container(t, "a")
	otherPath, otherNS := container(t, "b")
	request := attachRequest(0, path)
	request.Organization, request.InstanceIPv6 = "acme", netip.MustParseAddr("fdff::1")
	var e wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, request, &e)
	require.NoError(t, err)
	other := attachRequest(1, otherPath)
	other.Organization = "evil"
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, other, nil)
	require.NoError(t, err)
	gateway := e.Gateway.String()

	const name = "c.d.a.b.oak"
	answered := make(chan *dns.Msg, 1)
	go func() {
		m, err := lookup(t, ns, "udp", gateway, name, dns.TypeA, 5*time.Second)
		if err != nil {
			t.Log(err)
		}
		answered <- m
	}()
	var interest wire.NetInterest
	h.eventually("it asks for the name", func() bool { return c.last(wire.TopicNetInterest, &interest) && len(interest.Names) == 1 })
	require.Equal(t, wire.NameKey{Organization: "acme", Name: name}, interest.Names[0].NameKey)
	stamp := c.stamp()
	c.publish(wire.TopicNetResolved, wire.NetResolved{Header: stamp, Names: []wire.ResolvedName{{
		NameKey: interest.Names[0].NameKey, Resolution: wire.ResolvedService, Addresses: []netip.Addr{inIPv4.vip, netip.MustParseAddr("fdff:2000::1")},
	}}}, false)
	first := <-answered
	require.NotNil(t, first)
	require.Len(t, first.Answer, 1)
	require.Equal(t, inIPv4.vip.String(), first.Answer[0].(*dns.A).A.String())
	h.eventually("it says what it holds, and wants the address", func() bool {
		return c.last(wire.TopicNetInterest, &interest) && len(interest.Names) == 1 && interest.Names[0].Held == stamp.Stamp &&
			len(interest.Addresses) == 1 && interest.Addresses[0].Address == inIPv4.vip
	})

	for _, network := range []string{"udp", "tcp"} {
		m, err := lookup(t, ns, network, gateway, name, dns.TypeAAAA, 5*time.Second)
		require.NoError(t, err, network)
		require.Len(t, m.Answer, 1)
		m, err = lookup(t, ns, network, gateway, "www.example.org", dns.TypeA, 5*time.Second)
		require.NoError(t, err, network)
		require.Equal(t, "203.0.113.7", m.Answer[0].(*dns.A).A.String())
		m, err = lookup(t, otherNS, network, gateway, "no.name.oak", dns.TypeA, 5*time.Second)
		require.NoError(t, err, network)
		require.Equal(t, dns.RcodeNameError, m.Rcode)
	}
	_, err = lookup(t, h.ns, "udp", gateway, name, dns.TypeA, 300*time.Millisecond)
	require.Error(t, err, "the host is no container")
	if e.NamespaceIPv6.IsValid() {
		for _, network := range []string{"udp", "tcp"} {
			m, err := lookup(t, ns, network, "fc00::1", name, dns.TypeA, 5*time.Second)
			require.NoError(t, err, "the IPv6 gateway answers too: %s", network)
			require.Len(t, m.Answer, 1)
		}
	}
	var names []wire.LocalName
	_, err = h.ask(http.MethodGet, wire.PathLocalNames, nil, &names)
	require.NoError(t, err)
	require.Len(t, names, 1)
	require.Equal(t, wire.ResolvedService, names[0].Resolution)

	h.eventually("names are stored", func() bool {
		_, err := os.Stat(filepath.Join(h.cfg.StateDir, namesFile))
		return err == nil
	})
	time.Sleep(2 * saveEvery) // what a kill may lose
	h.kill()
	c.stop()
	begin := time.Now()
	h.launch()
	for {
		m, err := lookup(t, ns, "udp", gateway, name, dns.TypeA, 20*time.Millisecond)
		if err == nil {
			require.Len(t, m.Answer, 1)
			break
		}
		require.Less(t, time.Since(begin), time.Second, "names are answered again: %v", err)
	}
	t.Logf("names are answered %s after the start", time.Since(begin).Round(time.Millisecond))
	m, err := lookup(t, ns, "udp", gateway, "other.d.a.b.oak", dns.TypeA, 5*time.Second)
	require.NoError(t, err)
	require.Equal(t, dns.RcodeServerFailure, m.Rcode, "what is not known cannot be told without a cluster")
}

// serveOutside has a resolver in a namespace that answers everything with one address.
func serveOutside(t *testing.T, ns netns.NsHandle) {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg).SetReply(req)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 7)}}
		_ = w.WriteMsg(m)
	})
	var p net.PacketConn
	var l net.Listener
	var err error
	within(t, ns, func() {
		p, err = net.ListenPacket("udp4", ":53")
		require.NoError(t, err)
		l, err = net.Listen("tcp4", ":53")
		require.NoError(t, err)
	})
	for _, s := range []*dns.Server{{PacketConn: p, Handler: handler}, {Listener: l, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
	}
	t.Cleanup(func() { _ = p.Close(); _ = l.Close() })
}

// Names are looked up although the host drops what comes in, as ufw does.
func TestContainersLookNamesUpThroughAFirewall(t *testing.T) {
	nft := program(t, "nft", "nftables")
	h, c := lonelyHost(t), newCluster(t, workerID)
	h.in(`table ip filter {
		chain INPUT { type filter hook input priority filter; policy drop; iifname "lo" accept; ct state established,related accept; }
	}`, nft, "-f", "-")
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, ns := container(t, "a")
	var e wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(0, path), &e)
	require.NoError(t, err)
	for _, network := range []string{"udp", "tcp"} {
		m, err := lookup(t, ns, network, e.Gateway.String(), "nothing.oak", dns.TypeA, 5*time.Second)
		require.NoError(t, err, network)
		require.Equal(t, dns.RcodeNameError, m.Rcode)
	}
}
