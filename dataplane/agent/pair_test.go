// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const otherID = "dddddddddddddddddddddddd"

// worker is a host with its cluster, which knows this worker only.
type worker struct {
	*host
	c      *cluster
	subnet string
	told   wire.NetEndpoints
}

func newWorker(t *testing.T, id, subnet string) *worker {
	t.Helper()
	return &worker{host: newHost(t), c: newCluster(t, id), subnet: subnet}
}

func (w *worker) join() {
	w.t.Helper()
	w.c.serve(w.host)
	w.c.publish(wire.TopicNetNode, w.c.node(w.subnet), true)
	w.start()
	_, err := w.ask(http.MethodPut, wire.PathLocalIdentity, w.c.identity(), nil)
	require.NoError(w.t, err)
	w.eventually("it is ready", func() bool { return w.status().Ready })
}

func (w *worker) attach(number int, path string) (e wire.LocalEndpoint) {
	w.t.Helper()
	_, err := w.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(number, path), &e)
	require.NoError(w.t, err)
	w.eventually("the cluster hears of it", func() bool { return w.c.last(wire.TopicNetEndpoints, &w.told) && len(w.told.Endpoints) == 1 })
	return e
}

// meet tells w of the other worker and of the one instance there.
func (w *worker) meet(other *worker, there wire.LocalEndpoint) {
	w.c.publish(wire.TopicNetPeers, wire.NetPeers{Header: w.c.stamp(), Peers: []wire.NetPeer{other.asPeer(there)}}, false)
}

// asPeer is what the cluster tells others of a worker and of the one instance there.
func (w *worker) asPeer(there wire.LocalEndpoint) wire.NetPeer {
	return wire.NetPeer{
		WorkerID: w.c.worker, PublicKey: w.told.PublicKey, Outer: w.told.Outer, NAT: w.told.NAT,
		Subnets: []netip.Prefix{netip.MustParsePrefix(w.subnet), netip.MustParsePrefix(subnetsIPv6[w.subnet])},
		Sources: []wire.NetSource{{
			InstanceKey: there.InstanceKey, Generation: there.Generation, InstanceIP: there.InstanceIP, InstanceIPv6: there.InstanceIPv6,
		}},
	}
}

// follow meets w with the other worker whenever that tells the cluster of other addresses, until the test ends.
func (w *worker) follow(other *worker, there wire.LocalEndpoint) {
	done, stopped := make(chan struct{}), make(chan struct{})
	w.t.Cleanup(func() { close(done); <-stopped })
	was := other.told.Outer
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
			var told wire.NetEndpoints
			if other.c.last(wire.TopicNetEndpoints, &told) && !slices.Equal(told.Outer, was) {
				was = told.Outer
				now := *other // whose own note of it is the test's
				now.told = told
				w.meet(&now, there)
			}
		}
	}()
}

// A connection through a service address to another worker, which outlives a kill of both NetManagers.
func TestConnectionToAnotherWorkerOutlivesAKillOfBoth(t *testing.T) {
	for _, outer := range families {
		t.Run("Over"+outer.name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, in family) { connectionToAnotherWorker(t, in, outer) })
		})
	}
}

func connectionToAnotherWorker(t *testing.T, in, outer family) {
	a, b := newWorker(t, workerID, "10.18.0.0/26"), newWorker(t, otherID, "10.18.0.64/26")
	cable(t, a.ns, b.ns, outer)
	a.join()
	b.join()
	clientPath, client := container(t, "client")
	serverPath, server := container(t, "server")
	from, to := a.attach(0, clientPath), b.attach(1, serverPath)

	var listener net.Listener
	var err error
	within(t, server, func() { listener, err = net.Listen(in.tcp(), ":80") })
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	type dialled struct {
		net.Conn
		err error
	}
	result := make(chan dialled, 1)
	go within(t, client, func() {
		conn, err := net.DialTimeout(in.tcp(), at(in.vip, "80"), 5*time.Second)
		result <- dialled{conn, err}
	})
	var interest wire.NetInterest
	a.eventually("it asks for the address", func() bool { return a.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 })
	b.meet(a, from)
	a.meet(b, to)
	routes := b.c.routes(to) // as the cluster of both would send them
	routes.Header = a.c.stamp()
	a.c.publish(wire.TopicNetRoutes+serviceID, routes, false)

	there, err := listener.Accept()
	require.NoError(t, err)
	defer func() { _ = there.Close() }()
	here := <-result
	require.NoError(t, here.err)
	defer func() { _ = here.Close() }()
	require.Equal(t, in.instance(from).String(), there.RemoteAddr().(*net.TCPAddr).IP.String())
	require.Equal(t, in.vip.String(), here.RemoteAddr().(*net.TCPAddr).IP.String())

	tell := func(from, to net.Conn, text string) {
		t.Helper()
		require.NoError(t, to.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err := io.WriteString(from, text)
		require.NoError(t, err)
		buffer := make([]byte, len(text))
		_, err = io.ReadFull(to, buffer)
		require.NoError(t, err)
		require.Equal(t, text, string(buffer))
	}
	tell(here, there, "hello")
	tell(there, here, "world")
	time.Sleep(2 * saveEvery) // what a kill may lose

	for _, w := range []*worker{a, b} {
		w.kill()
		w.c.stop()
	}
	tell(here, there, "both are dead")
	tell(there, here, "indeed")
	for _, w := range []*worker{a, b} {
		w.start()
		require.True(t, w.status().Ready)
	}
	tell(here, there, "both are back, without a cluster")
	for i := range 3 { // known services take new connections
		var conn net.Conn
		within(t, client, func() { conn, err = net.DialTimeout(in.tcp(), at(in.vip, "80"), 5*time.Second) })
		require.NoError(t, err, fmt.Sprint(i))
		require.NoError(t, conn.Close())
	}
}
