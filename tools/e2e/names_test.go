// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// TestNames looks names up from inside a container.
func TestNames(t *testing.T) {
	s := raise(t, 1)
	outside(t, s)
	application(t, s, "hello.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "server", 2)
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("EachForm", func(t *testing.T) { eachForm(t, s, v) })
	t.Run("Elsewhere", func(t *testing.T) { elsewhere(t, s) })
	t.Run("Calls", func(t *testing.T) {
		for name, answers := range map[string]int{"server.demo.hello.demo.oak": 2, "0.Server.demo.hello.demo.OAK": 1} {
			until(t, 10*time.Second, func(ctx context.Context) error {
				c, err := s.Client(ctx)
				if err != nil {
					return err
				}
				var r hello.GetReport
				if err := s.Call(ctx, c, &r, "get", "http://"+name+"/", "-n", "4"); err != nil {
					return err
				}
				if r.Failed > 0 || len(r.Instances) != answers {
					return fmt.Errorf("%s: %d failed (%v), answers %v, want those of %d", name, r.Failed, r.Errors, r.Instances, answers)
				}
				return nil
			})
		}
	})
	t.Run("InstanceComesAndGoes", func(t *testing.T) { comesAndGoes(t, s, v) })
	t.Run("OtherOrganization", func(t *testing.T) { otherOrganization(t, s, v) })
	t.Run("RestartAlone", func(t *testing.T) { namesAlone(t, s, v) })
}

// lookUp asks from inside the client's container and wants an answer.
func lookUp(t *testing.T, s *scene.Scene, name, kind string, flags ...string) (r hello.LookupReport) {
	t.Helper()
	call(t.Context(), t, s, &r, append([]string{"lookup", name, "-type", kind}, flags...)...)
	return r
}

// eachForm: a service's names and those of its instances resolve to what root says, and back, by datagram and by connection.
func eachForm(t *testing.T, s *scene.Scene, v *client.Service) {
	const base = "server.demo.hello.demo.oak"
	type pair struct{ v4, v6 string }
	want := map[string]pair{}
	for _, a := range v.Addresses {
		name := map[string]string{"closest": "closest." + base, "underutilized": "underutilized." + base}[strings.ToLower(a.Policy)]
		if name == "" {
			name = base
		}
		want[name] = pair{a.Address.String(), a.AddressV6.String()}
	}
	for _, i := range v.Instances {
		want[fmt.Sprint(i.Number, ".", base)] = pair{i.InstanceIP, i.InstanceIPv6}
	}
	if len(want) != 3+len(v.Instances) || want[base].v4 != v.RoundRobin {
		t.Fatalf("names %v of %+v", want, v)
	}
	for name, p := range want {
		for _, transport := range []string{"-tcp=false", "-tcp=true"} {
			for kind, address := range map[string]string{"A": p.v4, "AAAA": p.v6} {
				if r := lookUp(t, s, name, kind, transport); r.Rcode != "NOERROR" || !slices.Equal(r.Answers, []string{address}) {
					t.Errorf("%s %s %s: %+v, want %s", name, kind, transport, r, address)
				}
				back, err := dns.ReverseAddr(address)
				if err != nil {
					t.Fatal(err)
				}
				if r := lookUp(t, s, back, "PTR", transport); r.Rcode != "NOERROR" || !slices.Equal(r.Answers, []string{name + "."}) {
					t.Errorf("%s %s: %+v, want %s", back, transport, r, name)
				}
			}
		}
	}
}

// outsideAddress is what the resolver outside answers.
const outsideAddress = "203.0.113.9"

// outside runs a resolver on the testbed's machine and has the workers use it.
func outside(t *testing.T, s *scene.Scene) {
	t.Helper()
	at := net.JoinHostPort(underlay.IPv4.Machine.String(), "53")
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg).SetReply(req)
		if q := req.Question[0]; q.Name == "www.example.org." && q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: q.Qclass, Ttl: 60}, A: net.ParseIP(outsideAddress)}}
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	for _, network := range []string{"udp", "tcp"} {
		started, ended := make(chan struct{}), make(chan error, 1)
		server := &dns.Server{Addr: at, Net: network, Handler: handler, NotifyStartedFunc: func() { close(started) }}
		go func() { ended <- server.ListenAndServe() }()
		select {
		case <-started:
			t.Cleanup(func() { _ = server.Shutdown() })
		case err := <-ended:
			t.Fatalf("run a resolver outside: %v", err)
		}
	}
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		file := s.Testbed.ResolvConf(w.Name)
		if err := os.WriteFile(file, []byte("nameserver "+underlay.IPv4.Machine.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// elsewhere: what is not of the overlay is forwarded; what nobody has is said so.
func elsewhere(t *testing.T, s *scene.Scene) {
	for _, transport := range []string{"-tcp=false", "-tcp=true"} {
		if r := lookUp(t, s, "www.example.org", "A", transport); !slices.Equal(r.Answers, []string{outsideAddress}) {
			t.Errorf("outside %s: %+v", transport, r)
		}
		for _, name := range []string{"nothing.example.org", "nobody.demo.hello.demo.oak", "9.server.demo.hello.demo.oak", "nothing.oak", "254.254.30.10.in-addr.arpa"} {
			if r := lookUp(t, s, name, "A", transport); r.Rcode != "NXDOMAIN" || len(r.Answers) > 0 {
				t.Errorf("%s %s: %+v", name, transport, r)
			}
		}
	}
}

// comesAndGoes: the name of an instance that nobody has is there within moments of the instance, and goes with it.
func comesAndGoes(t *testing.T, s *scene.Scene, v *client.Service) {
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "server", len(v.Instances)+1)
	more, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	added := more.Instances[len(more.Instances)-1]
	name := fmt.Sprintf("%d.server.demo.hello.demo.oak", added.Number)
	if r := lookUp(t, s, name, "A"); !slices.Equal(r.Answers, []string{added.InstanceIP}) {
		t.Errorf("%s: %+v, want %s", name, r, added.InstanceIP)
	}
	if err := s.API.RemoveInstance(t.Context(), v.ID, added.Number); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, func(context.Context) error {
		if r := lookUp(t, s, name, "A"); r.Rcode != "NXDOMAIN" {
			return fmt.Errorf("%s is still there: %+v", name, r)
		}
		return nil
	})
}

// namesAlone: with its cluster away, NetManager answers the names that it knew within a second of its start.
func namesAlone(t *testing.T, s *scene.Scene, v *client.Service) {
	const name = "server.demo.hello.demo.oak"
	lookUp(t, s, name, "A")
	time.Sleep(time.Second) // a moment for what a kill may lose
	fault(t, testbed.Kill, "cluster-orchestrator@c1")
	fault(t, testbed.Kill, "NetManager@c1-w1")
	report := make(chan hello.LookupReport, 1)
	from, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		var r hello.LookupReport
		if err := s.Call(t.Context(), from, &r, "lookup", name, "-type", "A", "-timeout", "100ms", "-until", "30s"); err != nil {
			t.Error(err)
		}
		report <- r
	}()
	time.Sleep(2 * time.Second) // the container asks in vain
	begin := time.Now()
	fault(t, testbed.Restart, "NetManager@c1-w1")
	r := <-report
	took := r.At.Sub(begin)
	t.Logf("answered %s after the start, after %d lookups without an answer", took.Round(time.Millisecond), r.Failed)
	if !slices.Equal(r.Answers, []string{v.RoundRobin}) || r.Failed == 0 || took > time.Second {
		t.Errorf("%+v %s after the start, want %s within 1s, and none before", r, took, v.RoundRobin)
	}
	if r := lookUp(t, s, "nobody.demo.hello.demo.oak", "A"); r.Rcode != "SERVFAIL" {
		t.Errorf("a name that is not known, without a cluster: %+v", r)
	}
	fault(t, testbed.Restart, "cluster-orchestrator@c1")
	until(t, 30*time.Second, func(context.Context) error {
		if r := lookUp(t, s, "nobody.demo.hello.demo.oak", "A"); r.Rcode != "NXDOMAIN" {
			return fmt.Errorf("with the cluster back: %+v", r)
		}
		return nil
	})
}
