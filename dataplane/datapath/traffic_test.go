// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// listen starts a TCP server in the box that answers every connection with its name and the caller's address, then echoes.
func (b *box) listen(t *testing.T, name string) {
	t.Helper()
	netnstest.Within(t, b.ns, func() error {
		l, err := net.Listen(b.w.w.inner.tcp(), ":80")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
					fmt.Fprintf(c, "%s %s\n", name, host)
					_, _ = io.Copy(c, c)
				}()
			}
		}()
		return nil
	})
}

// ask opens a connection and returns the first line of the answer.
func (b *box) ask(t *testing.T, address netip.Addr) (string, error) {
	t.Helper()
	var line string
	var failed error
	netnstest.Within(t, b.ns, func() error {
		c, err := net.DialTimeout(b.w.w.inner.tcp(), at(address, "80"), 2*time.Second)
		if err != nil {
			failed = err
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		buf := make([]byte, 128)
		n, err := c.Read(buf)
		line, failed = strings.TrimSpace(string(buf[:n])), err
		return nil
	})
	return line, failed
}

func TestRoundRobinLocalAndRemote(t *testing.T) { eachPairing(t, roundRobinLocalAndRemote) }

func roundRobinLocalAndRemote(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, local, far1, far2 := a.box(), a.box(), b.box(), b.box()
	local.listen(t, "local")
	far1.listen(t, "far1")
	far2.listen(t, "far2")
	a.serve(1, vip, local, far1, far2)
	b.admit(client)
	got := map[string]int{}
	for range 30 {
		line, err := client.ask(t, vip)
		if err != nil {
			t.Fatalf("ask: %v\nw1 drops %v\nw2 drops %v", err, a.drops(), b.drops())
		}
		name, peer, _ := strings.Cut(line, " ")
		got[name]++
		if peer != client.inst.String() {
			t.Errorf("server sees %s as its peer, want the client's Instance IP %s", peer, client.inst)
		}
	}
	for _, name := range []string{"local", "far1", "far2"} {
		if got[name] != 10 {
			t.Errorf("%s got %d of 30 connections, want 10", name, got[name])
		}
	}
	if d := a.drops(); len(d) != 0 {
		t.Errorf("w1 dropped %v", d)
	}
	if d := b.drops(); len(d) != 0 {
		t.Errorf("w2 dropped %v", d)
	}
}

func TestBulkBothWays(t *testing.T) { eachPairing(t, bulkBothWays) }

func bulkBothWays(t *testing.T, w *world) {
	bulkBetween(t, w, w.workers[0].box(), w.workers[1].box())
}

// bulkBetween has a client of the first worker send 16 MiB to an instance on the second, which sends them back.
func bulkBetween(t *testing.T, w *world, client, far *box) {
	t.Helper()
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	far.listen(t, "far")
	a.serve(1, vip, far)
	b.admit(client)
	bulkAgain(t, w, client)
}

// bulkAgain does the same once more.
func bulkAgain(t *testing.T, w *world, client *box) {
	t.Helper()
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	want := sha256.Sum256(data)
	netnstest.Within(t, client.ns, func() error {
		c, err := net.DialTimeout(w.inner.tcp(), at(vip, "80"), 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		greeting := make([]byte, len("far ")+len(client.inst.String())+1)
		if _, err := io.ReadFull(c, greeting); err != nil {
			return err
		}
		go func() { _, _ = c.Write(data) }()
		h := sha256.New()
		start := time.Now()
		if _, err := io.CopyN(h, c, int64(len(data))); err != nil {
			return fmt.Errorf("read back: %w (drops %v, %v)", err, a.drops(), b.drops())
		}
		t.Logf("16 MiB there and back in %v", time.Since(start))
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			return fmt.Errorf("data came back as %s, want %s", hex.EncodeToString(got), hex.EncodeToString(want[:]))
		}
		return nil
	})
}

func TestPing(t *testing.T) { eachPairing(t, ping) }

func ping(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, local, far := a.box(), a.box(), b.box()
	beside := w.inner.service(1)
	a.serve(1, vip, far)
	a.serve(2, beside, local)
	b.admit(client)
	b.serve(1, w.inner.service(2), client)
	a.admit(far)
	for _, c := range []struct {
		from *box
		to   netip.Addr
	}{{client, vip}, {client, beside}, {client, far.inst}, {far, client.inst}} {
		netnstest.Within(t, c.from.ns, func() error {
			out, err := exec.CommandContext(t.Context(), "ping", "-c3", "-i0.01", "-W1", c.to.String()).CombinedOutput()
			if err != nil {
				return fmt.Errorf("ping %s: %w\n%s\ndrops %v %v", c.to, err, out, a.drops(), b.drops())
			}
			return nil
		})
	}
}

// TestHairpin lets an instance call its own service and be chosen: it hears itself under its Instance IP.
func TestHairpin(t *testing.T) { eachFamily(t, hairpin) }

func hairpin(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a := w.workers[0]
	self := a.box()
	self.listen(t, "self")
	a.serve(1, vip, self)
	for range 3 {
		line, err := self.ask(t, vip)
		if err != nil {
			t.Fatalf("ask: %v, drops %v", err, a.drops())
		}
		if want := "self " + self.inst.String(); line != want {
			t.Errorf("got %q, want %q", line, want)
		}
	}
}

// TestDatagramsOfEverySize crosses the overlay with what fits into one packet, up to the container's MTU.
func TestDatagramsOfEverySize(t *testing.T) { eachPairing(t, datagramsOfEverySize) }

func datagramsOfEverySize(t *testing.T, w *world) {
	vip := w.inner.service(0)
	a, b := w.workers[0], w.workers[1]
	client, far := a.box(), b.box()
	a.serve(1, vip, far)
	b.admit(client)
	var server net.PacketConn
	netnstest.Within(t, far.ns, func() error {
		var err error
		server, err = net.ListenPacket(w.inner.udp(), ":53")
		return err
	})
	defer server.Close()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	netnstest.Within(t, client.ns, func() error {
		c, err := net.DialTimeout(w.inner.udp(), at(vip, "53"), time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		got := make([]byte, 2048)
		largest := 1416
		if w.inner.index == bpf.V6 {
			largest -= 20
		}
		for _, size := range []int{0, 1, 2, 3, 100, 511, 1000, largest - 1, largest} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := c.Write(sent); err != nil {
				return err
			}
			n, err := c.Read(got)
			if err != nil {
				return fmt.Errorf("%d bytes: %w (drops %v %v)", size, err, a.drops(), b.drops())
			}
			if !bytes.Equal(got[:n], sent) {
				return fmt.Errorf("%d bytes came back changed", size)
			}
		}
		return nil
	})
}
