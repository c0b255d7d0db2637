// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestLargeDatagrams crosses the overlay, and a worker, with datagrams that come in pieces.
func TestLargeDatagrams(t *testing.T) { eachPairing(t, largeDatagrams) }

func largeDatagrams(t *testing.T, w *world) {
	nearAndFar(t, w, func(client *box, vip netip.Addr, server net.PacketConn) {
		netnstest.Within(t, client.ns, func() error {
			c, err := net.Dial(w.inner.udp(), at(vip, "53"))
			if err != nil {
				return err
			}
			defer c.Close()
			for _, size := range []int{1445, 4000, 40000, 65000} {
				sent := pattern(size)
				if _, err := c.Write(sent); err != nil {
					return err
				}
				if got := receive(t, w, server); !bytes.Equal(got, sent) {
					return fmt.Errorf("of a datagram of %d bytes %d arrived (drops %v %v)", size, len(got), w.workers[0].drops(), w.workers[1].drops())
				}
			}
			return nil
		})
	})
}

// TestSegmentedDatagrams sends as QUIC does: many datagrams in one call, which the kernel cuts.
func TestSegmentedDatagrams(t *testing.T) { eachPairing(t, segmentedDatagrams) }

func segmentedDatagrams(t *testing.T, w *world) {
	nearAndFar(t, w, func(client *box, vip netip.Addr, server net.PacketConn) {
		netnstest.Within(t, client.ns, func() error {
			c, err := net.Dial(w.inner.udp(), at(vip, "53"))
			if err != nil {
				return err
			}
			defer c.Close()
			conn := c.(*net.UDPConn)
			for _, cut := range []struct{ segment, total int }{{1200, 1200 * 8}, {1200, 64000}, {1396, 1396*3 + 1}, {100, 6400}} {
				if err := segmentBy(conn, cut.segment); err != nil {
					return err
				}
				sent := pattern(cut.total)
				if _, err := conn.Write(sent); err != nil {
					return fmt.Errorf("send %d bytes to be cut by %d: %w", cut.total, cut.segment, err)
				}
				var got []byte
				for len(got) < len(sent) {
					piece := receive(t, w, server)
					if len(piece) == 0 || len(piece) > cut.segment {
						return fmt.Errorf("a datagram of %d bytes after %d of %d bytes, cut by %d (drops %v %v)", len(piece), len(got),
							cut.total, cut.segment, w.workers[0].drops(), w.workers[1].drops())
					}
					got = append(got, piece...)
				}
				if !bytes.Equal(got, sent) {
					return fmt.Errorf("%d bytes, cut by %d, arrived changed", cut.total, cut.segment)
				}
			}
			return nil
		})
	})
}

// nearAndFar runs f with a server on the client's own worker, and with one on the other.
func nearAndFar(t *testing.T, w *world, f func(client *box, vip netip.Addr, server net.PacketConn)) {
	a, b := w.workers[0], w.workers[1]
	client, near, far := a.box(), a.box(), b.box()
	a.serve(1, w.inner.service(0), near)
	a.serve(2, w.inner.service(1), far)
	b.admit(client)
	for i, to := range []*box{near, far} {
		var server net.PacketConn
		netnstest.Within(t, to.ns, func() error {
			var err error
			if server, err = net.ListenPacket(w.inner.udp(), ":53"); err != nil {
				return err
			}
			return server.(*net.UDPConn).SetReadBuffer(1 << 20)
		})
		reach(t, client, w.inner.service(byte(i)), server)
		f(client, w.inner.service(byte(i)), server)
		_ = server.Close()
	}
}

// reach waits until datagrams arrive: a network that has just been made may lose the first to its own setting up.
func reach(t *testing.T, client *box, vip netip.Addr, server net.PacketConn) {
	t.Helper()
	w := client.w.w
	netnstest.Within(t, client.ns, func() error {
		c, err := net.Dial(w.inner.udp(), at(vip, "53"))
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 16)
		for range 50 {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			w.workers[0].must(server.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
			if _, _, err := server.ReadFrom(buf); err == nil {
				break
			}
		}
		// Those that came late.
		for {
			w.workers[0].must(server.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
			if _, _, err := server.ReadFrom(buf); err != nil {
				return nil
			}
		}
	})
}

// receive returns the next datagram, or nothing if none comes.
func receive(t *testing.T, w *world, server net.PacketConn) []byte {
	t.Helper()
	buf := make([]byte, 1<<16)
	w.workers[0].must(server.SetReadDeadline(time.Now().Add(5 * time.Second)))
	n, _, err := server.ReadFrom(buf)
	if err != nil {
		t.Log(err)
		return nil
	}
	return buf[:n]
}

func segmentBy(c *net.UDPConn, size int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
	if err == nil {
		err = failed
	}
	return err
}

// pattern is bytes of which no two places look alike.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13)
	}
	return b
}

// TestOldWayOfUncovering goes through both mixed pairings as on kernels before 6.3, on any.
func TestOldWayOfUncovering(t *testing.T) {
	old := datapath.Options{Without: []string{probe.DecapL3}}
	for name, f := range map[string]func(*testing.T, *world){
		"connections": roundRobinLocalAndRemote, "bulk": bulkBothWays, "datagrams": datagramsOfEverySize, "pieces": largeDatagrams,
		"segments": segmentedDatagrams,
	} {
		for _, inner := range []family{inIPv4, inIPv6} {
			outer := inIPv4
			if inner.index == bpf.V4 {
				outer = inIPv6
			}
			t.Run(name+"/"+inner.name+"Over"+outer.name, func(t *testing.T) {
				w := newWorldWith(t, inner, outer, old)
				if w.workers[0].dp.Features().Uses(probe.DecapL3) {
					t.Fatal("the feature is used although it was to be done without")
				}
				f(t, w)
			})
		}
	}
}
