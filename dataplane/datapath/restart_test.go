// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// reopen does what a new NetManager does after the old one was killed.
func (wk *worker) reopen(t *testing.T) {
	t.Helper()
	netnstest.Within(t, wk.ns, func() error {
		if err := wk.dp.Close(); err != nil {
			return err
		}
		var err error
		if wk.dp, err = datapath.Open(t.Context(), wk.options); err != nil {
			return err
		}
		return wk.dp.AttachUplink(wk.uplink)
	})
}

func TestRestartBreaksNoFlow(t *testing.T) {
	t.Run("tcx", func(t *testing.T) { eachFamily(t, restartBreaksNoFlow) })
	t.Run("clsact", func(t *testing.T) {
		for _, f := range []family{inIPv4, inIPv6} {
			t.Run(f.name, func(t *testing.T) {
				restartBreaksNoFlow(t, newWorldWith(t, f, inIPv4, datapath.Options{Without: []string{probe.TCX}}))
			})
		}
	})
}

func restartBreaksNoFlow(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, far := a.box(), b.box()
	far.listen(t, "far")
	a.serve(1, vip, far)
	b.admit(client)
	var conn net.Conn
	netnstest.Within(t, client.ns, func() error {
		var err error
		conn, err = net.DialTimeout(w.inner.tcp(), at(vip, "80"), 2*time.Second)
		return err
	})
	defer conn.Close()
	greeting := make([]byte, len("far ")+len(client.inst.String())+1)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		t.Fatal(err)
	}
	sent, received := numberedStream(t, client, far)
	rounds := 5
	if os.Getenv("OAK_EMULATED") != "" {
		rounds = 1 // an emulated processor verifies programs for seconds
	}
	for range rounds {
		a.reopen(t)
		b.reopen(t)
		for range 5 {
			if _, err := client.ask(t, vip); err != nil {
				t.Errorf("a new connection after the restart: %v", err)
			}
		}
	}
	total := sent()
	eventually(t, fmt.Sprintf("the arrival of all %d datagrams", total), func() bool { return received() == total })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Errorf("the flow broke: %v", err)
	}
	if _, err := io.ReadFull(conn, greeting[:4]); err != nil {
		t.Errorf("the flow broke: %v", err)
	}
	if d := a.drops(); len(d) != 0 {
		t.Errorf("w1 dropped %v", d)
	}
}

// numberedStream sends a datagram a millisecond through the service. How long one takes says nothing on a busy machine; that one is
// missing does. The first result ends the stream and tells how many were sent, the second how many different ones have arrived.
func numberedStream(t *testing.T, from, to *box) (sent, received func() int64) {
	t.Helper()
	f := from.w.w.inner
	var server net.PacketConn
	netnstest.Within(t, to.ns, func() error {
		var err error
		server, err = net.ListenPacket(f.udp(), ":53")
		return err
	})
	t.Cleanup(func() { _ = server.Close() })
	var arrived atomic.Int64
	go func() {
		seen := map[uint64]bool{}
		buf := make([]byte, 64)
		for {
			n, _, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if n == 8 && !seen[binary.BigEndian.Uint64(buf)] {
				seen[binary.BigEndian.Uint64(buf)] = true
				arrived.Add(1)
			}
		}
	}()
	stop, done := make(chan struct{}), make(chan int64)
	netnstest.Within(t, from.ns, func() error {
		c, err := net.Dial(f.udp(), at(f.service(0), "53"))
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			number := make([]byte, 8)
			for n := int64(0); ; n++ {
				select {
				case <-stop:
					done <- n
					return
				case <-tick.C:
				}
				binary.BigEndian.PutUint64(number, uint64(n))
				if _, err := c.Write(number); err != nil {
					t.Errorf("send datagram %d: %v", n, err)
				}
			}
		}()
		return nil
	})
	return func() int64 { close(stop); return <-done }, arrived.Load
}

func TestSecondNetManagerIsRefused(t *testing.T) {
	w := newWorld(t)
	netnstest.Within(t, w.workers[0].ns, func() error {
		again := w.workers[0].options
		if _, err := datapath.Open(t.Context(), again); !errors.Is(err, datapath.ErrRunning) {
			return fmt.Errorf("want ErrRunning of a second Open, got %w", err)
		}
		again.Worker = "another"
		if _, err := datapath.Open(t.Context(), again); !errors.Is(err, datapath.ErrRunning) {
			return fmt.Errorf("want ErrRunning of an Open for another worker in the same network namespace, got %w", err)
		}
		return nil
	})
}

func (wk *worker) flows(t *testing.T) (established, fresh int) {
	t.Helper()
	var err error
	for _, f := range wk.dp.Maps().Flows().All(&err) {
		if f.Flags&bpf.FlowEstablished != 0 && f.Flags&bpf.FlowClosed == 0 {
			established++
		} else {
			fresh++
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return established, fresh
}

// TestFlowsMoveBetweenMaps follows a TCP flow: new until both sides took part, established while it lives, then on its way out.
func TestFlowsMoveBetweenMaps(t *testing.T) { eachFamily(t, flowsMoveBetweenMaps) }

func flowsMoveBetweenMaps(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, far := a.box(), b.box()
	far.listen(t, "far")
	a.serve(1, vip, far)
	b.admit(client)
	var conn net.Conn
	netnstest.Within(t, client.ns, func() error {
		var err error
		conn, err = net.DialTimeout(w.inner.tcp(), at(vip, "80"), 2*time.Second)
		return err
	})
	buf := make([]byte, 64)
	if _, err := conn.Read(buf); err != nil {
		t.Fatal(err)
	}
	for _, wk := range w.workers {
		if established, fresh := wk.flows(t); established != 2 || fresh != 0 {
			t.Errorf("%s: %d established and %d new entries of one open connection, want 2 and 0", wk.name, established, fresh)
		}
	}
	uses, err := b.dp.FlowUses()
	if err != nil {
		t.Fatal(err)
	}
	if uses.Sources[bpf.AddrFrom(client.inst)] != 1 || uses.Peers[1] != 2 {
		t.Errorf("uses of w2 are %+v, want one of the client's address and two of the peer", uses)
	}
	_ = conn.Close()
	for _, wk := range w.workers {
		eventually(t, "the end of the flow", func() bool {
			established, fresh := wk.flows(t)
			return established == 0 && fresh == 2
		})
	}
	if err := a.dp.PurgeEndpoint(client.nsIP); err != nil {
		t.Fatal(err)
	}
	if established, fresh := a.flows(t); established+fresh != 0 {
		t.Errorf("%d entries are left after the endpoint was purged", established+fresh)
	}
}
