// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// servers is how many instances of the server there are, over two workers.
const servers = 3

// TestHello deploys an application and looks at it from inside: everything that needs nothing to break.
func TestHello(t *testing.T) {
	s := raise(t, 2)
	inhabit(t, s)
	t.Run("RefusedDescriptors", func(t *testing.T) { refused(t, s) })
	t.Run("DeletedBehindTheBack", func(t *testing.T) { behindTheBack(t, s) })
	t.Run("Cuts", func(t *testing.T) { cuts(t, s) })
	t.Run("Delays", func(t *testing.T) { delays(t, s) })
	t.Run("Undeploy", func(t *testing.T) { undeploy(t, s) })
}

// TestHelloOverIPv6 is the same where the hosts have no IPv4: orchestrators, registry, overlay and exposed ports all do without it.
func TestHelloOverIPv6(t *testing.T) {
	s := raiseOver(t, 2, ipv6)
	for _, h := range s.Testbed.Hosts("") {
		out, err := s.Testbed.Run(t.Context(), h.Name, "ip", "-4", "-o", "address", "show", "dev", underlay.Uplink)
		if err != nil || len(out) != 0 {
			t.Fatalf("host %s has an address of IPv4: %s %v", h.Name, out, err)
		}
	}
	inhabit(t, s)
	t.Run("Cuts", func(t *testing.T) { cuts(t, s) })
	t.Run("Delays", func(t *testing.T) { delays(t, s) })
	t.Run("Undeploy", func(t *testing.T) { undeploy(t, s) })
}

// inhabit deploys the application and has its client talk to its servers, in both families.
func inhabit(t *testing.T, s *scene.Scene) {
	application(t, s, "hello.json")
	client := deploy(t, s, "client", 1)[0]
	placed := deploy(t, s, "server", servers)
	t.Run("InstancesAreSpread", func(t *testing.T) { spread(t, client, placed) })
	application(t, s, "fresh.json")
	for _, f := range []family{ipv4, ipv6} {
		t.Run(f.name, func(t *testing.T) { conversations(t, s, f) })
	}
	t.Run("Weights", func(t *testing.T) { weights(t, s) })
	t.Run("ExposedPorts", func(t *testing.T) { exposed(t, s) })
}

// conversations are all that clients have with services in one family.
func conversations(t *testing.T, s *scene.Scene, f family) {
	t.Run("FirstDatagramsArriveInOrder", func(t *testing.T) { datagrams(t, s, f) })
	t.Run("RoundRobin", func(t *testing.T) { roundRobin(t, s, f) })
	t.Run("InstanceAddresses", func(t *testing.T) { instanceAddresses(t, s, f) })
	t.Run("Ping", func(t *testing.T) { ping(t, s, f) })
	t.Run("HostProcesses", func(t *testing.T) { hostProcesses(t, s, f) })
}

// spread: the servers are on both workers, so that the client has one beside it and one across the tunnel.
func spread(t *testing.T, client scene.Container, placed []scene.Container) {
	on := map[string]int{}
	for _, c := range placed {
		on[c.Worker]++
	}
	if len(on) != 2 || on[client.Worker] == 0 {
		t.Errorf("servers are placed %v, the client on %s: want servers there and on the other worker", on, client.Worker)
	}
}

// datagrams: fifty in a row to a service that the worker has never seen are all held until it is known, then sent in order;
// to a service on the client's own worker and to one on another.
func datagrams(t *testing.T, s *scene.Scene, f family) {
	for _, name := range f.fresh {
		deploy(t, s, name, 1)
		v, err := s.Service(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		const n = 50
		var r hello.BurstReport
		call(t.Context(), t, s, &r, "udp-burst", net.JoinHostPort(f.service(v), "80"), "-n", fmt.Sprint(n))
		if r.Sent != n || r.Received != n || r.Misplaced != 0 || len(r.Instances) != 1 {
			t.Errorf("%s: %+v, want %d datagrams at one instance, in order", name, r, n)
		}
	}
}

// roundRobin: a static set shares new connections evenly, and sees who calls.
func roundRobin(t *testing.T, s *scene.Scene, f family) {
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	self, err := s.Service(t.Context(), "client")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, s, f.service(v), servers)
	const n, each = 300, 300 / servers
	var r hello.GetReport
	call(t.Context(), t, s, &r, "get", scene.URL(f.service(v)), "-n", fmt.Sprint(n))
	if r.Failed != 0 || len(r.Instances) != servers {
		t.Fatalf("%d of %d failed (%v); answers by instance: %v", r.Failed, n, r.Errors, r.Instances)
	}
	for name, got := range r.Instances {
		if got < each-1 || got > each+1 {
			t.Errorf("%s has answered %d of %d, want %d ± 1", name, got, n, each)
		}
	}
	ip := f.instance(self.Instances[0])
	if r.Peers[ip] != n {
		t.Errorf("servers have seen %v, want the client's Instance IP %s in all", r.Peers, ip)
	}
}

// settle returns once the client has been answered by n instances: its worker has met all others, the set is static.
func settle(t *testing.T, s *scene.Scene, address string, n int) {
	t.Helper()
	c, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), c, address, n); err != nil {
		t.Fatal(err)
	}
}

// instanceAddresses: an Instance IP always means that one instance.
func instanceAddresses(t *testing.T, s *scene.Scene, f family) {
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range v.Instances {
		var r hello.GetReport
		call(t.Context(), t, s, &r, "get", scene.URL(f.instance(i)), "-n", "5")
		for name, n := range r.Instances {
			if n != 5 || !strings.HasSuffix(name, fmt.Sprintf(".instance.%d", i.Number)) {
				t.Errorf("instance %d at %s: answers by instance %v", i.Number, f.instance(i), r.Instances)
			}
		}
		if r.Failed != 0 {
			t.Errorf("instance %d at %s: %d of 5 failed: %v", i.Number, f.instance(i), r.Failed, r.Errors)
		}
	}
}

// ping: the service address answers echo requests.
func ping(t *testing.T, s *scene.Scene, f family) {
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	var r hello.PingReport
	call(t.Context(), t, s, &r, "ping", f.service(v), "-n", "6")
	if r.Received != 6 {
		t.Errorf("%d of 6 echoes came back", r.Received)
	}
}
