// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// ttl is how many seconds others may remember an answer. It is short so that a service that is made anew, with another address, is found
// as soon as a name that did not exist is; this resolver answers from memory, so asking again costs little. An address is given to nobody
// else for minutes after it was released, so that what is remembered never leads to another service.
const ttl = 5

// subject is what a query is about.
type subject struct {
	// ours says that nobody else is asked.
	ours bool
	// name is what the table knows it by; empty if there can be no such name.
	name string
	// top is the zone's own name.
	top bool
}

// subjectOf says what a name is about: the zone, and the reverse names of the overlay's addresses, are answered here alone. Namespace
// addresses have no names.
func (r *Resolver) subjectOf(qname string) subject {
	name := strings.ToLower(strings.TrimSuffix(qname, "."))
	if name == semantic.Zone {
		return subject{ours: true, top: true}
	}
	if strings.HasSuffix(name, "."+semantic.Zone) {
		if n, err := semantic.ParseDNSName(name); err == nil {
			return subject{ours: true, name: n.String()}
		}
		return subject{ours: true}
	}
	ranges := r.ranges.Load()
	a, ok := semantic.ParseReverseName(name)
	switch {
	case !ok || ranges == nil:
		return subject{}
	case semantic.ContainsService(*ranges, a):
		return subject{ours: true, name: name}
	default:
		return subject{ours: semantic.ContainsWorker(*ranges, a)}
	}
}

// local answers for the zone and the reverse names.
func (r *Resolver) local(ctx context.Context, req *dns.Msg, s subject, from netip.Addr, organization string) *dns.Msg {
	v := verdict{err: errNone, left: noneFor}
	switch {
	case s.top:
		v.err = nil
	case s.name != "":
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		v = r.table.lookup(ctx, wire.NameKey{Organization: organization, Name: s.name}, func() bool { return r.sources.fresh(from, time.Now()) })
	}
	switch {
	case v.err == nil:
		r.counts.add(resultKnown)
		m := r.reply(req, dns.RcodeSuccess, "")
		m.Authoritative = true
		if m.Answer = r.records(req.Question[0], s, v.answer); len(m.Answer) == 0 {
			m.Ns = []dns.RR{authority(req.Question[0].Name, ttl)}
		}
		return m
	case errors.Is(v.err, errNone):
		r.counts.add(resultNone)
		m := r.reply(req, dns.RcodeNameError, "")
		m.Authoritative = true
		m.Ns = []dns.RR{authority(req.Question[0].Name, uint32((v.left+time.Second-1)/time.Second))}
		return m
	case errors.Is(v.err, errTooMany):
		r.counts.add(resultLimited)
	default:
		r.counts.add(resultUnavailable)
	}
	return r.reply(req, dns.RcodeServerFailure, v.err.Error())
}

// records are those of an answer that the question asks for.
func (r *Resolver) records(q dns.Question, s subject, a wire.ResolvedName) (out []dns.RR) {
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	wants := func(kind uint16) bool { return q.Qtype == kind || q.Qtype == dns.TypeANY }
	if s.top {
		if wants(dns.TypeSOA) {
			out = append(out, authority(q.Name, ttl))
		}
		return out
	}
	if a.Target != "" {
		if wants(dns.TypePTR) {
			out = append(out, &dns.PTR{Hdr: header(dns.TypePTR), Ptr: dns.Fqdn(a.Target)})
		}
		return out
	}
	var given []netip.Addr
	if wants(dns.TypeA) {
		for _, ip := range addresses(a.Addresses, false) {
			out = append(out, &dns.A{Hdr: header(dns.TypeA), A: ip.AsSlice()})
			given = append(given, ip)
		}
	}
	if wants(dns.TypeAAAA) {
		for _, ip := range addresses(a.Addresses, true) {
			out = append(out, &dns.AAAA{Hdr: header(dns.TypeAAAA), AAAA: ip.AsSlice()})
			given = append(given, ip)
		}
	}
	if r.cfg.Want != nil {
		for _, ip := range given { // its routes may be there before the first packet is
			r.cfg.Want(ip)
		}
	}
	return out
}

// authority is the record that says for how long it may be remembered that there is none.
func authority(qname string, seconds uint32) dns.RR {
	zone := semantic.Zone + "."
	if strings.HasSuffix(strings.ToLower(qname), ".arpa.") {
		_, zone, _ = strings.Cut(qname, ".")
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds},
		Ns:  zone, Mbox: "hostmaster." + semantic.Zone + ".", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: seconds,
	}
}
