// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/miekg/dns"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Website is a name outside that answers over plain HTTP with "hello ADDRESS", the address of who asks.
const Website = "example.org"

// names are what the hub answers to.
var names = []string{Website, "registry-1.docker.io", "auth.docker.io", "index.docker.io", "docker.io"}

// Hub stands for the internet. It is started by [Start] and ended by Close.
type Hub struct {
	// Authority is the PEM certificate of who has signed the hub's.
	Authority []byte

	host    string
	images  http.Handler
	servers []io.Closer
}

// Start opens the hub on a host of the underlay.
func Start(ctx context.Context, host string, address netip.Addr) (*Hub, error) {
	authority, leaf, err := certificates(names)
	if err != nil {
		return nil, fmt.Errorf("make the hub's certificate: %w", err)
	}
	h := &Hub{host: host, Authority: authority, images: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr) // as the server has written it
		_, _ = fmt.Fprintln(w, "hello", from)
	})
	// A socket stays in the namespace that it was made in.
	err = underlay.In(host, func() error {
		var c net.ListenConfig
		secure, err := c.Listen(ctx, "tcp", netip.AddrPortFrom(address, 443).String())
		if err != nil {
			return err
		}
		h.serve(h.images, newTLS(secure, leaf))
		plain, err := c.Listen(ctx, "tcp", netip.AddrPortFrom(address, 80).String())
		if err != nil {
			return err
		}
		h.serve(page, plain)
		udp, err := c.ListenPacket(ctx, "udp", netip.AddrPortFrom(address, 53).String())
		if err != nil {
			return err
		}
		tcp, err := c.Listen(ctx, "tcp", netip.AddrPortFrom(address, 53).String())
		if err != nil {
			return errors.Join(err, udp.Close())
		}
		h.resolve(address, udp, tcp)
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the hub on %s: %w", host, err), h.Close())
	}
	return h, nil
}

func (h *Hub) serve(handler http.Handler, l net.Listener) {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	h.servers = append(h.servers, s)
	go func() { _ = s.Serve(l) }() // ends with Close
}

// closer is what ends something that is no [io.Closer].
type closer func() error

func (c closer) Close() error { return c() }

// resolve answers for the hub's names with its address; no other name exists.
func (h *Hub) resolve(address netip.Addr, udp net.PacketConn, tcp net.Listener) {
	known := map[string]bool{}
	for _, n := range names {
		known[dns.Fqdn(n)] = true
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		for _, question := range q.Question {
			if !known[dns.CanonicalName(question.Name)] {
				a.Rcode = dns.RcodeNameError
			} else if question.Qtype == dns.TypeA {
				a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: address.AsSlice()})
			}
		}
		_ = w.WriteMsg(a) // who asks asks again
	})
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		h.servers = append(h.servers, closer(s.Shutdown))
		go func() { _ = s.ActivateAndServe() }()
		<-started // one that has not cannot be ended
	}
}

// Publish puts an image into the registry, under the name by which users pull it, such as docker.io/library/nginx:latest.
func (h *Hub) Publish(ctx context.Context, image string, img v1.Image) error {
	ref, err := name.NewTag(image)
	if err != nil {
		return fmt.Errorf("publish image %s: %w", image, err)
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithTransport(direct{h.images})); err != nil {
		return fmt.Errorf("publish image %s: %w", image, err)
	}
	return nil
}

// direct has requests answered by a handler, without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// Get returns what a web page says to who asks from the hub's host.
func (h *Hub) Get(ctx context.Context, url string) (string, error) {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		if in := underlay.In(h.host, func() error { conn, err = new(net.Dialer).DialContext(ctx, network, address); return nil }); in != nil {
			return nil, in
		}
		return conn, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(q)
	if err != nil {
		return "", fmt.Errorf("ask from outside: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("ask %s from outside: %w", url, err)
	}
	return string(body), nil
}

// Close ends the hub.
func (h *Hub) Close() error {
	var errs []error
	for _, s := range h.servers {
		errs = append(errs, s.Close())
	}
	h.servers = nil
	return errors.Join(errs...)
}
