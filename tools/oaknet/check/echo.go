// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// Bounds of trying.
const (
	echoWait  = 400 * time.Millisecond
	leastWait = 50 * time.Millisecond
	echoTries = 2
	together  = 32 // ways at a time
	usualMTU  = 1500
	leastMTU  = 576 // below which nothing is looked for
	smallEcho = 84  // bytes with the IP header, as ping sends
)

// Way is what echoes to another worker's host have shown.
type Way struct {
	// Answered says that an echo came back, after RoundTrip at best.
	Answered  bool
	RoundTrip time.Duration
	// Bytes is the largest packet that came back, IP header included, of Tried at most.
	Bytes, Tried int
	// Told is what a router has said that it carries, of a packet that it did not pass on; 0 if none has.
	Told int
	// Err says why it was not tried.
	Err error
}

// Try sends echoes to every node that has an address, by the address that this worker talks to it from, unfragmented. The path MTU is
// searched for where the largest packet is lost.
func Try(ctx context.Context, nodes []inspect.Node) map[uint32]Way {
	var mu sync.Mutex
	var tasks sync.WaitGroup
	out := map[uint32]Way{}
	slots := make(chan struct{}, together)
	for _, n := range nodes {
		if !n.Outer.IsValid() || !n.Local.IsValid() {
			continue
		}
		tasks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			way := try(ctx, n.Local, n.Outer, outerMTU(n))
			mu.Lock()
			defer mu.Unlock()
			out[n.Index] = way
		})
	}
	tasks.Wait()
	return out
}

// outerMTU is how large packets of the tunnel get; an uplink's usual MTU where nothing is known yet.
func outerMTU(n inspect.Node) int {
	switch {
	case n.PathMTU != 0:
		return int(n.PathMTU) + Overhead(n)
	case n.MTU != 0:
		return int(n.MTU) + Overhead(n)
	}
	return usualMTU
}

func try(ctx context.Context, from, to netip.Addr, mtu int) Way {
	e, err := newEcho(from, to)
	if err != nil {
		return Way{Err: err}
	}
	defer func() { _ = e.Close() }()
	w := Way{Tried: max(mtu, leastMTU)}
	send := func(size int) bool {
		for range echoTries {
			took, err := e.send(ctx, size)
			if err == nil {
				if !w.Answered || took < w.RoundTrip {
					w.RoundTrip = took
				}
				w.Answered, w.Bytes = true, max(w.Bytes, size)
				e.wait = min(echoWait, max(leastWait, 8*w.RoundTrip))
				return true
			}
			var told tooBigError
			if errors.As(err, &told) {
				w.Told = int(told)
				return false
			}
			if ctx.Err() != nil || errors.Is(err, unix.EMSGSIZE) {
				return false
			}
		}
		return false
	}
	if !send(smallEcho) || send(w.Tried) || !send(leastMTU) {
		return w
	}
	for low, high := leastMTU, w.Tried; high-low > 1 && ctx.Err() == nil; {
		if middle := (low + high) / 2; send(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return w
}

// echo sends ICMP echoes to one address.
type echo struct {
	*net.IPConn
	to       *net.IPAddr
	six      bool
	id, next uint16
	wait     time.Duration
}

func newEcho(from, to netip.Addr) (*echo, error) {
	network, level, option := "ip4:icmp", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
	if to.Is6() {
		network, level, option = "ip6:ipv6-icmp", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	conn, err := net.ListenIP(network, &net.IPAddr{IP: from.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("open socket for echoes: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		var failed error
		// Unfragmented, and whatever the kernel believes of the way.
		err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_PROBE) })
		err = errors.Join(err, failed)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("forbid fragments of echoes: %w", err)
	}
	id := uint16(time.Now().UnixNano()>>8) ^ binary.BigEndian.Uint16(to.AsSlice()[len(to.AsSlice())-2:])
	return &echo{IPConn: conn, to: &net.IPAddr{IP: to.AsSlice()}, six: to.Is6(), id: id, wait: echoWait}, nil
}

// send sends one echo of a size, IP header included, and waits for its answer.
func (e *echo) send(ctx context.Context, size int) (time.Duration, error) {
	e.next++
	header, kind, answer, protocol := 20, icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if e.six {
		header, kind, answer, protocol = 40, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: int(e.id), Seq: int(e.next), Data: make([]byte, size-header-8)}}
	packet, err := m.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	deadline := begin.Add(e.wait)
	if until, ok := ctx.Deadline(); ok && until.Before(deadline) {
		deadline = until
	}
	if err := e.SetDeadline(deadline); err != nil {
		return 0, err
	}
	if _, err := e.WriteTo(packet, e.to); err != nil {
		return 0, err
	}
	for buffer := make([]byte, 1<<16); ; {
		n, _, err := e.ReadFrom(buffer)
		if err != nil {
			return 0, err
		}
		got, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil {
			continue
		}
		if mtu := e.told(buffer[:n]); mtu != 0 {
			return 0, tooBigError(mtu)
		}
		if got.Type != answer {
			continue
		}
		if body, ok := got.Body.(*icmp.Echo); ok && body.ID == int(e.id) && body.Seq == int(e.next) {
			return time.Since(begin), nil
		}
	}
}
