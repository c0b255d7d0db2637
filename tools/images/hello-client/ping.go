// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// pinger is how echo goes in one family.
type pinger struct {
	network, any   string
	protocol       int // ICMP's number among those of the family
	request, reply icmp.Type
}

func pingerFor(to netip.Addr) pinger {
	if to.Is4() {
		return pinger{"ip4:icmp", "0.0.0.0", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	}
	return pinger{"ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
}

// ping sends o.n echo requests, each when the one before is answered or given up.
func ping(ctx context.Context, addr string, o options) (hello.PingReport, error) {
	var r hello.PingReport
	to, err := netip.ParseAddr(addr)
	if err != nil {
		return r, fmt.Errorf("address %q: want an IP address: %w", addr, err)
	}
	p := pingerFor(to)
	c, err := icmp.ListenPacket(p.network, p.any)
	if err != nil {
		return r, fmt.Errorf("open a raw socket: %w", err)
	}
	defer func() { _ = c.Close() }()
	id := os.Getpid() & 0xffff
	var sum time.Duration
	for seq := range o.n {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.Sent++
		start := time.Now()
		ok, err := p.echo(c, to, id, seq, start.Add(o.timeout))
		if err != nil {
			return r, err
		}
		if ok {
			r.Received++
			sum += time.Since(start)
		}
	}
	if r.Received > 0 {
		r.MeanMS = float64(sum.Microseconds()) / float64(r.Received) / 1000
	}
	return r, nil
}

// echo sends one request and reports whether its answer has come by the deadline.
func (p pinger) echo(c *icmp.PacketConn, to netip.Addr, id, seq int, deadline time.Time) (bool, error) {
	m := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("oakestra")}}
	raw, err := m.Marshal(nil)
	if err != nil {
		return false, err
	}
	if _, err := c.WriteTo(raw, &net.IPAddr{IP: net.IP(to.AsSlice())}); err != nil {
		return false, fmt.Errorf("send echo request: %w", err)
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read echo reply: %w", err)
		}
		got, err := icmp.ParseMessage(p.protocol, buf[:n])
		if err != nil || got.Type != p.reply {
			continue
		}
		if e, ok := got.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == seq {
			return true, nil
		}
	}
}
