// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// delays: what passes between two hosts takes longer, overlay and all; nothing else does.
func delays(t *testing.T, s *scene.Scene) {
	const ms = 60
	workers, clusters := s.Testbed.Hosts(testbed.RoleWorker), s.Testbed.Hosts(testbed.RoleCluster)
	a, b := workers[0], workers[1]
	address := remoteServer(t, s)
	if err := s.Testbed.AddDelay(t.Context(), a.Name, b.Name, ms); err != nil {
		t.Fatal(err)
	}
	if got := roundTrip(t, s, a, b); got < 2*ms*time.Millisecond || got > 4*ms*time.Millisecond {
		t.Errorf("a round trip between the workers takes %s, want a little over %d ms", got, 2*ms)
	}
	if got := roundTrip(t, s, a, clusters[0]); got > ms*time.Millisecond {
		t.Errorf("a round trip to the cluster's host takes %s: the delay is wider than asked", got)
	}
	status, err := s.Testbed.Status()
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Delays) != 1 || status.Delays[0].Milliseconds != ms {
		t.Errorf("status shows %+v", status.Delays)
	}
	// Four round trips: the handshake, and the request with its answer, of two connections.
	start := time.Now()
	var r hello.GetReport
	call(t.Context(), t, s, &r, "get", "http://"+address+":80/", "-n", "2")
	if r.Failed != 0 || time.Since(start) < 4*2*ms*time.Millisecond {
		t.Errorf("two connections through the overlay: %+v after %s, want four round trips of %d ms at least", r, time.Since(start), 2*ms)
	}

	// One way of the delayed path is lost, and the other is not.
	if err := s.Testbed.AddOneWay(t.Context(), a.Name, b.Name); err != nil {
		t.Fatal(err)
	}
	oneWay(t, s, a, b)
	if err := s.Testbed.Heal(t.Context(), b.Name, a.Name); err != nil {
		t.Fatal(err)
	}
	if got := roundTrip(t, s, a, b); got > ms*time.Millisecond {
		t.Errorf("a round trip takes %s after the delay was healed", got)
	}
	// And without the relay.
	if err := s.Testbed.AddOneWay(t.Context(), a.Name, b.Name); err != nil {
		t.Fatal(err)
	}
	oneWay(t, s, a, b)
	if err := s.Testbed.Heal(t.Context(), a.Name, ""); err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, func(ctx context.Context) error { return answers(ctx, s, address) })
}

// oneWay: what a sends b is lost, what b sends a arrives.
func oneWay(t *testing.T, s *scene.Scene, a, b testbed.Host) {
	t.Helper()
	received := func(h testbed.Host) (n int) {
		counter := `awk '$1=="Icmp6InEchos"{print $2}' /proc/net/snmp6`
		if strings.Contains(h.Address, ".") {
			counter = `grep -A1 "^Icmp: " /proc/net/snmp | awk 'NR==1{for(i=1;i<=NF;i++)if($i=="InEchos")c=i}NR==2{print $c}'`
		}
		out, err := s.Testbed.Run(t.Context(), h.Name, "sh", "-c", counter)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(out), &n); err != nil {
			t.Fatalf("count echo requests of %s in %q: %v", h.Name, out, err)
		}
		return n
	}
	for _, way := range []struct {
		from, to testbed.Host
		arrive   int
	}{{a, b, 0}, {b, a, 2}} {
		before := received(way.to)
		if _, err := s.Testbed.Run(t.Context(), way.from.Name, "ping", "-c", "2", "-i", "0.2", "-W", "1", way.to.Address); err == nil {
			t.Errorf("%s gets answers from %s although one way is lost", way.from.Name, way.to.Name)
		}
		if got := received(way.to) - before; got != way.arrive {
			t.Errorf("%d packets of %s have arrived at %s, want %d", got, way.from.Name, way.to.Name, way.arrive)
		}
	}
}

// roundTrip returns the fastest of three.
func roundTrip(t *testing.T, s *scene.Scene, from, to testbed.Host) time.Duration {
	t.Helper()
	out, err := s.Testbed.Run(t.Context(), from.Name, "sh", "-c",
		"ping -c 3 -i 0.2 -W 2 "+to.Address+" | sed -n 's,^rtt [^=]*= \\([0-9.]*\\)/.*,\\1,p'")
	if err != nil {
		t.Fatal(err)
	}
	var ms float64
	if _, err := fmt.Sscan(string(out), &ms); err != nil {
		t.Fatalf("read a round trip of %s to %s in %q: %v", from.Name, to.Name, out, err)
	}
	return time.Duration(ms * float64(time.Millisecond))
}
