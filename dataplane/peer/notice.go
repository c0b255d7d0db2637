// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// Notices to one peer a second, and at once. One is enough for a route; those that get lost are made up for by the next packet.
const (
	noticeRate  = 10
	noticeBurst = 20
)

// stale is a route that a peer has called stale.
type stale struct {
	workerID string
	ns       netip.Addr
	tag      uint32
}

// HandleStale tells a peer that its packets to an address of the overlay with a tag find nobody here.
func (g *Greeter) HandleStale(e bpf.StalePacket) {
	g.mu.Lock()
	defer g.unlock()
	var p *record
	for _, r := range g.byID {
		if r.index == e.Peer {
			p = r
			break
		}
	}
	if p == nil || p.key == nil || !p.located() {
		return
	}
	if p.notices == nil {
		p.notices = rate.NewLimiter(noticeRate, noticeBurst)
	}
	own := g.own(p.address().Addr())
	if !own.Addr().IsValid() || !p.notices.AllowN(g.now(), 1) {
		return
	}
	p.sequence++
	body := hello.Notice{
		Sender: g.id, Receiver: p.id, At: hello.Position{Start: g.cfg.Start, Sequence: p.sequence}, Address: e.Dst.Netip(), Tag: e.Tag,
	}.Encode(p.key)
	if err := g.socket.send(packet(own, p.address(), hello.Tunneled(body)), p.address().Addr()); err != nil {
		g.log.Debug("tell a peer of a stale route", "peer", bpf.FormatID(p.id), "error", err)
	}
}

// SubscribeStale has f called with each route that the worker which it leads to has called stale. It is called without locks held.
func (g *Greeter) SubscribeStale(f func(workerID string, ns netip.Addr, tag uint32)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onStale = append(g.onStale, f)
}

// handleNotice takes what may be a notice of a peer's. mu is held.
func (g *Greeter) handleNotice(data []byte) (reason string) {
	n, err := hello.DecodeNotice(data)
	if err != nil {
		return err.Error()
	}
	p := g.byID[n.Sender]
	switch {
	case n.Receiver != g.id:
		return "for another worker"
	case p == nil || p.key == nil:
		return "from a worker that the cluster has not named"
	case !hello.GenuineNotice(data, p.key):
		return "wrong signature"
	case p.noticed == (hello.Position{}):
		return "from a worker that has not proven yet to be there"
	case !n.At.After(p.noticed):
		return "replayed or overtaken"
	}
	p.noticed = n.At
	g.stale = append(g.stale, stale{bpf.FormatID(p.id), n.Address, n.Tag})
	return ""
}
