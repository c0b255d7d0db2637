// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// resolvConf is where a container finds its resolver.
const resolvConf = "/etc/resolv.conf"

// lookupEvery is how soon a lookup that had no answer is tried again.
const lookupEvery = 10 * time.Millisecond

// lookup asks the container's resolver for a name, again and again for o.until unless an answer comes.
func lookup(ctx context.Context, name string, o options) (hello.LookupReport, error) {
	var r hello.LookupReport
	conf, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", resolvConf, err)
	}
	kind, ok := dns.StringToType[strings.ToUpper(o.kind)]
	if len(conf.Servers) == 0 || !ok {
		return r, fmt.Errorf("no resolver in %s, or no type %q", resolvConf, o.kind)
	}
	r.Server, r.Search = conf.Servers[0], conf.Search
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	client := dns.Client{Net: "udp", Timeout: o.timeout}
	if o.tcp {
		client.Net = "tcp"
	}
	for end := time.Now().Add(o.until); ; {
		answer, took, err := client.ExchangeContext(ctx, m, net.JoinHostPort(r.Server, conf.Port))
		if err == nil {
			r.At, r.MS = time.Now(), float64(took.Microseconds())/1000
			r.Rcode = dns.RcodeToString[answer.Rcode]
			for _, rr := range answer.Answer {
				r.Answers = append(r.Answers, strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			return r, nil
		}
		r.Failed++
		if errors.Is(err, context.Canceled) || time.Now().After(end) {
			return r, fmt.Errorf("ask %s: %w", r.Server, err)
		}
		time.Sleep(lookupEvery)
	}
}
