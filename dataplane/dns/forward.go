// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// tryFor is how long one server has to answer, forwardFor all of them: libraries ask again after 5 s, or less.
	tryFor     = 1500 * time.Millisecond
	forwardFor = 4500 * time.Millisecond
	// tries is how often a single server is asked.
	tries = 2
	// firstAgain is how long after a server did not answer the first of them is asked first again.
	firstAgain = time.Minute
)

// errNoServers is that the worker has no resolver that a query could be forwarded to.
var errNoServers = errors.New("the worker's resolv.conf cannot be read, or names no resolver but this one")

// forwarder asks the worker's own resolvers.
type forwarder struct {
	servers func() []netip.AddrPort

	mu sync.Mutex
	// first is the place of the server that is asked first: another once one did not answer.
	first int
	since time.Time
}

// exchange forwards a query, over TCP if it came so, and returns the answer as it came. The question goes on, and of its options whether
// signatures are wanted; an identifier and a port of its own keep others from answering.
func (f *forwarder) exchange(ctx context.Context, req *dns.Msg, tcp bool) (*dns.Msg, error) {
	servers := f.servers()
	if len(servers) == 0 {
		return nil, errNoServers
	}
	ctx, cancel := context.WithTimeout(ctx, forwardFor)
	defer cancel()
	first := f.begin(time.Now())
	var refused *dns.Msg
	var errs []error
	for i := range max(len(servers), tries) {
		server := servers[(first+i)%len(servers)]
		answer, err := try(ctx, server, outgoing(req), tcp)
		switch {
		case err != nil:
			f.silent(first+i, time.Now())
			errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
		case answer.Rcode == dns.RcodeServerFailure || answer.Rcode == dns.RcodeRefused || answer.Rcode == dns.RcodeNotImplemented:
			if refused = answer; len(servers) == 1 {
				return answer, nil
			}
		default:
			return answer, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	if refused != nil {
		return refused, nil
	}
	return nil, errors.Join(errs...)
}

// begin returns the place of the server to ask first.
func (f *forwarder) begin(now time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) >= firstAgain {
		f.first = 0
	}
	return f.first
}

// silent notes that the server at a place did not answer.
func (f *forwarder) silent(place int, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == place {
		f.first, f.since = place+1, now
	}
}

func try(ctx context.Context, server netip.AddrPort, m *dns.Msg, tcp bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	client := dns.Client{Net: network, Timeout: tryFor, UDPSize: maxUDP, Dialer: &net.Dialer{Timeout: tryFor}}
	answer, _, err := client.ExchangeContext(ctx, m, server.String())
	if err != nil {
		return nil, err
	}
	if !answer.Response || len(answer.Question) != 1 || !sameQuestion(answer.Question[0], m.Question[0]) {
		return nil, errors.New("the answer is to another question")
	}
	return answer, nil
}

func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// outgoing is the query as another resolver gets it.
func outgoing(req *dns.Msg) *dns.Msg {
	m := &dns.Msg{Question: []dns.Question{req.Question[0]}}
	m.Id = dns.Id()
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = req.RecursionDesired, req.CheckingDisabled, req.AuthenticatedData
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDP, opt.Do())
	}
	return m
}

// incoming makes a forwarded answer that of this resolver.
func incoming(req, answer *dns.Msg) *dns.Msg {
	answer.Id = req.Id
	answer.Question = req.Question
	answer.Compress = true
	extra := answer.Extra[:0]
	var reason []dns.EDNS0
	for _, rr := range answer.Extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			extra = append(extra, rr)
			continue
		}
		for _, o := range opt.Option { // the other options are between two neighbours
			if ede, ok := o.(*dns.EDNS0_EDE); ok {
				reason = append(reason, ede)
			}
		}
	}
	answer.Extra = extra
	if answer.Rcode > 0xf && req.IsEdns0() == nil {
		answer.Rcode = dns.RcodeServerFailure // the upper bits are in an option that the asker does not take
	}
	if opt := req.IsEdns0(); opt != nil {
		answer.SetEdns0(maxUDP, opt.Do())
		answer.IsEdns0().Option = reason
	}
	return answer
}
