// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestInstancesThatWentWhileItWasDead: flows to them end, or move on, after the start as they would have at once. Of one the cluster has to tell; the
// last NetManager knew of the other, and died before it had reset its flows.
func TestInstancesThatWentWhileItWasDead(t *testing.T) {
	eachFamily(t, func(t *testing.T, in family) {
		t.Run("TheClusterTells", func(t *testing.T) { instanceWentWhileDead(t, in, false) })
		t.Run("LeftUndone", func(t *testing.T) { instanceWentWhileDead(t, in, true) })
	})
}

func instanceWentWhileDead(t *testing.T, in family, undone bool) {
	w := newWorker(t, workerID, subnet)
	cable(t, w.ns, netnstest.New(t), in)
	w.join()
	clientPath, client := container(t, "client")
	goesPath, goes := container(t, "goes")
	staysPath, stays := container(t, "stays")
	var e [3]wire.LocalEndpoint
	for i, path := range []string{clientPath, goesPath, staysPath} {
		_, err := w.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(i, path), &e[i])
		require.NoError(t, err)
	}
	w.c.publish(wire.TopicNetPeers, wire.NetPeers{Header: w.c.stamp()}, false)
	var listener net.Listener
	var err error
	within(t, goes, func() { listener, err = net.Listen(in.tcp(), ":80") })
	require.NoError(t, err)
	defer listener.Close()
	datagrams := map[string]net.PacketConn{}
	for name, ns := range map[string]func(func()){"goes": func(f func()) { within(t, goes, f) }, "stays": func(f func()) { within(t, stays, f) }} {
		ns(func() { datagrams[name], err = net.ListenPacket(in.udp(), ":53") })
		require.NoError(t, err)
		defer datagrams[name].Close()
	}
	dialled := make(chan net.Conn, 1)
	go within(t, client, func() {
		conn, err := net.DialTimeout(in.tcp(), at(in.vip, "80"), 5*time.Second)
		if err != nil {
			t.Log(err)
		}
		dialled <- conn
	})
	var interest wire.NetInterest
	w.eventually("it asks for the address", func() bool { return w.c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 })
	w.c.publish(wire.TopicNetRoutes+serviceID, w.c.routes(e[1]), false)
	conn := <-dialled
	require.NotNil(t, conn)
	defer conn.Close()
	there, err := listener.Accept()
	require.NoError(t, err)
	defer there.Close()
	go func() { _, _ = there.Write([]byte{1}) }()
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, pingBack(conn, there))
	var datagram net.Conn
	within(t, client, func() { datagram, err = net.Dial(in.udp(), at(in.vip, "53")) })
	require.NoError(t, err)
	defer datagram.Close()
	reaches := func(name string) error {
		if _, err := datagram.Write([]byte("hello")); err != nil {
			return err
		}
		_ = datagrams[name].SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _, err := datagrams[name].ReadFrom(make([]byte, 8))
		return err
	}
	require.NoError(t, reaches("goes"))
	time.Sleep(2 * saveEvery)

	w.kill()
	if undone {
		dir, err := datapath.MapDir(w.cfg.BPFFS, w.cfg.Name)
		require.NoError(t, err)
		maps, err := bpf.OpenMaps(dir)
		require.NoError(t, err)
		for index, b := range maps.Backends.All(&err) {
			if b.Generation != 0 {
				require.NoError(t, maps.Backends.Put(index, bpf.Backend{Slot: b.Slot + 1}))
			}
		}
		require.NoError(t, err)
		require.NoError(t, maps.Close())
	}
	require.NoError(t, pingWaits(conn))
	w.start()
	begin := time.Now()
	tell := func() {
		w.eventually("it is in touch", func() bool { return w.status().Connected })
		w.c.publish(wire.TopicNetRoutes+serviceID, w.c.routes(e[2]), false)
	}
	if !undone {
		w.eventually("it is in touch", func() bool { return w.status().Connected })
		require.NoError(t, pingWaits(conn), "before anybody has told")
		begin = time.Now()
		tell()
	}
	for name, end := range map[string]net.Conn{"client": conn, "server": there} {
		require.NoError(t, end.SetReadDeadline(time.Now().Add(3*time.Second)))
		_, err := end.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, name)
	}
	t.Logf("both ends know after %v", time.Since(begin).Round(time.Millisecond))
	require.Less(t, time.Since(begin), 2*time.Second)
	if undone {
		tell() // what is stored still names who went
	}
	w.eventually("datagrams move on", func() bool { return reaches("stays") == nil })
}

// pingBack has both ends acknowledge something.
func pingBack(a, b net.Conn) error {
	if _, err := a.Write([]byte{1}); err != nil {
		return err
	}
	_, err := b.Read(make([]byte, 1))
	return err
}

// pingWaits wants that a connection is still there.
func pingWaits(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return nil
	}
	return err
}
