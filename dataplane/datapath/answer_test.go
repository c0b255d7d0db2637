// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// atOnce is how soon a refusal has to be there. A connection that is not answered tries again after a second.
const atOnce = 500 * time.Millisecond

// TestNobodyThereIsSaidAtOnce: where no instance is, or nobody has the address, callers hear so. No NetManager is needed for it.
func TestNobodyThereIsSaidAtOnce(t *testing.T) { eachFamily(t, nobodyThereIsSaidAtOnce) }

func nobodyThereIsSaidAtOnce(t *testing.T, w *world) {
	a := w.workers[0]
	client := a.box()
	empty, none := w.inner.service(0), w.inner.service(1)
	a.serve(1, empty)
	a.must(a.dp.Maps().VIPs.Put(bpf.AddrFrom(none), bpf.VIP{Policy: bpf.PolicyNone}))
	for _, address := range []string{at(empty, "80"), at(none, "80")} {
		netnstest.Within(t, client.ns, func() error {
			start := time.Now()
			c, err := net.DialTimeout(w.inner.tcp(), address, 3*time.Second)
			if err == nil {
				_ = c.Close()
			}
			if took := time.Since(start); !errors.Is(err, syscall.ECONNREFUSED) || took > atOnce {
				return fmt.Errorf("connect to %s: %w after %v, want ECONNREFUSED at once (drops %v)", address, err, took, a.drops())
			}
			if c, err = net.Dial(w.inner.udp(), address); err != nil {
				return err
			}
			defer c.Close()
			start = time.Now()
			_ = c.SetDeadline(start.Add(3 * time.Second))
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 8))
			if took := time.Since(start); !errors.Is(err, syscall.ECONNREFUSED) || took > atOnce {
				return fmt.Errorf("datagram to %s: %w after %v, want ECONNREFUSED at once (drops %v)", address, err, took, a.drops())
			}
			return nil
		})
	}
	if d := a.drops(); d["no_backend"] != 2 || d["no_service"] != 2 || len(d) != 2 {
		t.Errorf("drops %v, want two of no_backend and of no_service: one a packet", d)
	}
}

func (b *box) setMTU(t *testing.T, mtu int) {
	t.Helper()
	netnstest.Within(t, b.ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	})
	netnstest.Within(t, b.w.ns, func() error {
		l, err := netlink.LinkByIndex(b.host)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	})
}

// TestContainersOfAFullMTU have the MTU of the underlay itself, which the tunnel cannot carry: they learn to send less.
func TestContainersOfAFullMTU(t *testing.T) { eachPairing(t, containersOfAFullMTU) }

func containersOfAFullMTU(t *testing.T, w *world) {
	client, far := w.workers[0].box(), w.workers[1].box()
	client.setMTU(t, 1500)
	far.setMTU(t, 1500)
	bulkBetween(t, w, client, far)
	datagramsFindTheirSize(t, w, client, far)
	for _, wk := range w.workers {
		if d := wk.drops(); d["too_big"] == 0 || len(d) != 1 {
			t.Errorf("%s dropped %v, want some that were too big and nothing else", wk.name, d)
		}
	}
}

// datagramsFindTheirSize sends datagrams that are larger than the tunnel carries, both in one packet, which the sender is told of, and in
// pieces, which become smaller.
func datagramsFindTheirSize(t *testing.T, w *world, client, far *box) {
	t.Helper()
	vip := w.inner.service(0)
	far.echo(t)
	netnstest.Within(t, client.ns, func() error {
		c, err := net.Dial(w.inner.udp(), at(vip, "53"))
		if err != nil {
			return err
		}
		defer c.Close()
		got := make([]byte, 1<<16)
		for _, size := range []int{1445, 4000, 40000} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			arrived := false
			// Both ends have to learn, of the first piece of a datagram each; those datagrams are lost.
			for try := 0; try < 4 && !arrived; try++ {
				if _, err := c.Write(sent); err != nil && !errors.Is(err, unix.EMSGSIZE) {
					return err
				}
				_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				n, err := c.Read(got)
				arrived = err == nil && bytes.Equal(got[:n], sent)
			}
			if !arrived {
				return fmt.Errorf("no datagram of %d bytes came through (drops %v and %v)", size, client.w.drops(), far.w.drops())
			}
		}
		return nil
	})
}

// echo sends every datagram back.
func (b *box) echo(t *testing.T) {
	t.Helper()
	var server net.PacketConn
	netnstest.Within(t, b.ns, func() error {
		var err error
		server, err = net.ListenPacket(b.w.w.inner.udp(), ":53")
		return err
	})
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
}

// TestForgottenConnectionsEndAtOnce: a worker that has lost its flows, as one does that was started anew, resets those who go on with them:
// callers and servers of its containers, here and on another worker.
func TestForgottenConnectionsEndAtOnce(t *testing.T) { eachPairing(t, forgottenConnectionsEndAtOnce) }

func forgottenConnectionsEndAtOnce(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	for _, wk := range w.workers {
		wk.withUpcalls(t)
		wk.listenToPrograms(t)
	}
	client, near, far := a.box(), a.box(), b.box()
	b.admit(client)
	for i, c := range []struct {
		name   string
		server *box
		loses  *worker
		speaks func(held) net.Conn
	}{
		{"the caller, whose own worker has forgotten it", far, a, func(h held) net.Conn { return h.client }},
		{"the caller, whose server's worker has forgotten it", far, b, func(h held) net.Conn { return h.client }},
		{"the server, whose own worker has forgotten it", far, b, func(h held) net.Conn { return h.server }},
		{"the server, whose caller's worker has forgotten it", far, a, func(h held) net.Conn { return h.server }},
		{"the caller of a neighbour", near, a, func(h held) net.Conn { return h.client }},
		{"the server of a neighbour", near, a, func(h held) net.Conn { return h.server }},
	} {
		a.serve(uint32(i+1), vip, c.server)
		h := hold(t, client, c.server, at(vip, "80"))
		c.loses.forgetFlows()
		start, who := time.Now(), c.speaks(h)
		if _, err := who.Write([]byte("still there?")); err != nil {
			t.Fatal(err)
		}
		_ = who.SetReadDeadline(start.Add(3 * time.Second))
		_, err := who.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, syscall.ECONNRESET) || took > atOnce {
			t.Errorf("%s: %v after %v, want ECONNRESET at once (drops %v and %v)", c.name, err, took, a.drops(), b.drops())
		}
		for _, wk := range w.workers {
			wk.forgetFlows()
		}
	}
}

// forgetFlows empties the maps of flows.
func (wk *worker) forgetFlows() {
	var err error
	for key := range wk.dp.Maps().Flows().All(&err) {
		wk.must(wk.dp.Maps().Flows().Delete(key))
	}
	wk.must(err)
}

// listenToPrograms does what NetManager does for as long as it lives: on a veth pair, as between these workers, programs need it for resets.
func (wk *worker) listenToPrograms(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- wk.dp.Events(ctx, datapath.Receiver{}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	wk.must(wk.dp.Maps().Heartbeat.Put(0, math.MaxInt64)) // its next sign of life is far away
}
