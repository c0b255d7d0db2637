// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// answerWithin bounds how long a query for a name that is not known waits for the cluster.
const answerWithin = 1500 * time.Millisecond

// DefaultResolvConf is where the worker's own resolvers are named.
const DefaultResolvConf = "/etc/resolv.conf"

// Config is what a [Resolver] needs. Its functions may be called from several goroutines and must not block.
type Config struct {
	// Organization returns the organisation of the container that has a namespace address, and false if none of this worker has it.
	Organization func(netip.Addr) (organization string, ok bool)
	// Want is told the addresses that a container has been given and will send to next. It may be nil.
	Want func(netip.Addr)
	// Publish is called when the cluster has to hear of the interest.
	Publish func()
	// Changed is called when [Resolver.Snapshot] has become another.
	Changed func()
	// ResolvConf is a file in the form of resolv.conf(5) with the worker's own resolvers, [DefaultResolvConf] if empty.
	ResolvConf string
	Log        *slog.Logger
}

// Resolver answers the queries of this worker's containers. Its methods may be called from several goroutines.
type Resolver struct {
	cfg       Config
	log       *slog.Logger
	table     *table
	sources   *sources
	forward   forwarder
	listeners listeners
	port      uint16
	counts    counts

	ranges atomic.Pointer[wire.Ranges]
	own    atomic.Pointer[[]netip.AddrPort]
}

// New returns a resolver that listens nowhere yet.
func New(cfg Config) *Resolver {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = DefaultResolvConf
	}
	r := &Resolver{
		cfg: cfg, log: cfg.Log, port: port, counts: newCounts(),
		table: newTable(cfg.Log, cfg.Publish, cfg.Changed), sources: newSources(cfg.Organization),
	}
	up := &upstreams{path: cfg.ResolvConf, log: cfg.Log, own: func() []netip.AddrPort {
		if own := r.own.Load(); own != nil {
			return *own
		}
		return nil
	}}
	r.forward.servers = func() []netip.AddrPort { return up.servers(time.Now()) }
	r.listeners = listeners{handler: dns.HandlerFunc(r.serve), sources: r.sources, open: map[listener]*dns.Server{}}
	return r
}

// Listen has the resolver answer at the given gateway addresses, and there only, for an overlay of the given ranges. What is right
// already stays as it is; what cannot be had now can be tried again by the same call.
func (r *Resolver) Listen(gateways []netip.Addr, ranges wire.Ranges) error {
	var at []netip.AddrPort
	for _, g := range gateways {
		at = append(at, netip.AddrPortFrom(g, r.port))
	}
	r.ranges.Store(&ranges)
	r.own.Store(&at)
	return r.listeners.set(at)
}

// Close ends all listening.
func (r *Resolver) Close() { r.listeners.close() }

// Interest returns the full set of names that this worker wants.
func (r *Resolver) Interest() []wire.InterestName { return r.table.interest() }

// Resolved takes the cluster's answers to wanted names.
func (r *Resolver) Resolved(m wire.NetResolved) error { return r.table.resolved(m) }

// Names returns all names that are wanted, and what is known of them.
func (r *Resolver) Names() []wire.LocalName { return r.table.list() }

// Expire forgets what is over. It is to be called about once a second, with the current time.
func (r *Resolver) Expire(now time.Time) {
	r.table.expire(now)
	r.sources.expire(now)
}

// Snapshot returns what [Resolver.Restore] takes.
func (r *Resolver) Snapshot() Snapshot { return r.table.snapshot() }

// Restore takes a snapshot in, before the cluster answers.
func (r *Resolver) Restore(s Snapshot) { r.table.restore(s) }

// serve answers one query. Who sent a datagram has been looked at before; a connection may have outlived its container.
func (r *Resolver) serve(w dns.ResponseWriter, req *dns.Msg) {
	from := addressOf(w.RemoteAddr())
	tcp := w.RemoteAddr().Network() == "tcp"
	organization, ok := r.cfg.Organization(from)
	if !ok || tcp && !r.sources.admit(from, time.Now()) {
		_ = w.Close()
		return
	}
	defer func() {
		if p := recover(); p != nil { // no query of one container ends the resolver of all
			r.log.Error("a query failed unexpectedly", "container", from, "query", req.String(), "panic", p)
		}
	}()
	answer := r.answer(context.Background(), req, from, organization, tcp)
	if tcp {
		answer.Truncate(dns.MaxMsgSize)
	} else {
		answer.Truncate(sizeFor(req))
	}
	if err := w.WriteMsg(answer); err != nil {
		r.log.Debug("cannot answer a container", "container", from, "error", err)
		_ = w.WriteMsg(r.reply(req, dns.RcodeServerFailure, "the answer cannot be written")) // another resolver's, of odd records
	}
}

// sizeFor returns the largest datagram that the asker takes, within reason.
func sizeFor(req *dns.Msg) int {
	opt := req.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
}

// answer says what a query gets.
func (r *Resolver) answer(ctx context.Context, req *dns.Msg, from netip.Addr, organization string, tcp bool) *dns.Msg {
	if req.Opcode != dns.OpcodeQuery {
		return r.reply(req, dns.RcodeNotImplemented, "")
	}
	if len(req.Question) != 1 { // a message may end before the question that its header announces
		return r.reply(req, dns.RcodeFormatError, "")
	}
	q := req.Question[0]
	switch opt := req.IsEdns0(); {
	case opt != nil && opt.Version() != 0:
		return r.reply(req, dns.RcodeBadVers, "")
	case q.Qclass != dns.ClassINET, q.Qtype == dns.TypeAXFR, q.Qtype == dns.TypeIXFR:
		return r.reply(req, dns.RcodeRefused, "")
	}
	end, ok := r.sources.begin(from, time.Now())
	if !ok {
		r.counts.add(resultLimited)
		return r.reply(req, dns.RcodeServerFailure, "too many queries of this container wait for an answer")
	}
	defer end()
	if subject := r.subjectOf(q.Name); subject.ours {
		return r.local(ctx, req, subject, from, organization)
	}
	answer, err := r.forward.exchange(ctx, req, tcp)
	if err != nil {
		r.counts.add(resultFailed)
		r.log.Debug("cannot forward a query", "name", q.Name, "error", err)
		reason := "the worker's own resolvers do not answer"
		if errors.Is(err, errNoServers) {
			reason = err.Error()
		}
		return r.reply(req, dns.RcodeServerFailure, reason)
	}
	r.counts.add(resultForwarded)
	return incoming(req, answer)
}

// reply begins an answer; the reason of an error goes along where the asker takes one.
func (r *Resolver) reply(req *dns.Msg, rcode int, reason string) *dns.Msg {
	m := new(dns.Msg).SetRcode(req, rcode)
	m.RecursionAvailable = true
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDP, opt.Do())
		if reason != "" {
			own := m.IsEdns0()
			own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: reason})
		}
	}
	return m
}

// addresses returns those of one family.
func addresses(all []netip.Addr, v6 bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a.Is6() != v6 })
}
