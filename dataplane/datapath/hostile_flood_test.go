// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// transport is a TCP segment or UDP datagram without a checksum, in an IP header of the addresses' family.
func transport(src, dst netip.Addr, proto byte, sport, dport uint16, flags byte, payload []byte) []byte {
	l4 := make([]byte, 8)
	if proto == unix.IPPROTO_TCP {
		l4 = make([]byte, 20)
		l4[12], l4[13] = 5<<4, flags
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(payload)))
	}
	binary.BigEndian.PutUint16(l4, sport)
	binary.BigEndian.PutUint16(l4[2:], dport)
	l4 = append(l4, payload...)
	if src.Is6() {
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
		copy(h[8:], src.AsSlice())
		copy(h[24:], dst.AsSlice())
		return append(h, l4...)
	}
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(l4)))
	copy(h[12:], src.AsSlice())
	copy(h[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, l4...)
}

// hostile sends so many frames out of a namespace's eth0: each is one of the samples with bytes from a place on changed, or cut short, or
// now and then left as it is.
func hostile(device string, samples [][]byte, from, n int, seed uint64) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same every time is what is wanted
	to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}
	for range n {
		frame := bytes.Clone(samples[r.IntN(len(samples))])
		for range r.IntN(4) {
			frame[from+r.IntN(len(frame)-from)] = byte(r.Uint32())
		}
		if r.IntN(8) == 0 {
			frame = frame[:max(14, from+r.IntN(len(frame)-from))]
		}
		if err := unix.Sendto(fd, frame, 0, to); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("send % x: %w", frame, err)
		}
	}
	return nil
}

// balance returns what the worker's programs have received, and what has left them: sent on, or dropped.
func (wk *worker) balance() (received, left uint64) {
	names, err := bpf.StatNames()
	wk.must(err)
	for n, name := range names {
		perCPU, _, err := wk.dp.Maps().Stats.Lookup(n)
		wk.must(err)
		for _, c := range perCPU {
			switch name {
			case "answered": // are among the dropped
			case "from_container", "from_tunnel", "from_outside", "reinjected":
				received += c.Packets
			default:
				left += c.Packets
			}
		}
	}
	for _, n := range wk.drops() {
		left += n
	}
	return received, left
}

// mapMemory is what the kernel holds for the worker's maps, in bytes.
func (wk *worker) mapMemory() (total uint64) {
	m := wk.dp.Maps()
	for _, name := range m.Names() {
		info, err := m.ByName(name).Info()
		wk.must(err)
		if size, ok := info.Memlock(); ok {
			total += size
		}
	}
	return total
}

// unreclaimable is the kernel's memory that does not shrink when others need it, in bytes.
func unreclaimable(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "SUnreclaim:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("/proc/meminfo has no SUnreclaim")
	return 0
}

// TestHostileFlood throws mutated packets at a worker's tunnel port and out of one of its containers while a connection through it sends
// and checks what comes back. OAK_HOSTILE says how many; a run of a million takes a minute.
func TestHostileFlood(t *testing.T) {
	packets := 50_000
	if s := os.Getenv("OAK_HOSTILE"); s != "" {
		var err error
		if packets, err = strconv.Atoi(s); err != nil {
			t.Fatalf("OAK_HOSTILE: %v", err)
		}
	}
	for _, f := range []family{inIPv4, inIPv6} {
		t.Run(f.name, func(t *testing.T) { hostileFlood(t, newWorldOf(t, f, f), packets/2) })
	}
}

func hostileFlood(t *testing.T, w *world, packets int) {
	a, b := w.workers[0], w.workers[1]
	client, server, liar := a.box(), b.box(), b.box()
	address := nth(w.inner.services, 200, 1)
	a.serve(1, address, server)
	b.serve(1, address, server)
	b.admit(client)
	server.listen(t, "server")
	moved, stop := keepSending(t, client, address)

	tunnel, out := samples(t, a, b, client, server, liar, address)
	memory, slab := b.mapMemory(), unreclaimable(t)
	before := moved.Load()
	var senders sync.WaitGroup
	failed := make(chan error, 2)
	outer := 14 + len(transport(a.outer, b.outer, unix.IPPROTO_UDP, 0, 0, 0, nil)) // what makes it the tunnel's stays
	senders.Go(func() {
		netnstest.Within(t, a.ns, func() error { failed <- hostile("eth0", tunnel, outer, packets/2, 1); return nil })
	})
	senders.Go(func() {
		netnstest.Within(t, liar.ns, func() error { failed <- hostile("eth0", out, 12, packets/2, 2); return nil })
	})
	senders.Wait()
	for range 2 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	during := moved.Load() - before
	if during < 1<<20 {
		t.Errorf("the connection moved %d bytes meanwhile, want a mebibyte at least", during)
	}
	if err := stop(); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
	for _, wk := range w.workers {
		eventually(t, "balance of "+wk.name, func() bool { received, left := wk.balance(); return received == left })
	}
	received, _ := b.balance()
	// A sender may find a queue full; what the programs got is what counts.
	if received < uint64(packets)*9/10 {
		t.Errorf("the worker received %d packets, want most of %d", received, packets)
	}
	// Entries of the rings, and nothing beyond.
	most := uint64(4 * 4096 * ebpf.MustPossibleCPU() * 256)
	if now := b.mapMemory(); now > memory+most {
		t.Errorf("maps grew from %d to %d bytes, want %d more at most", memory, now, most)
	}
	if now := unreclaimable(t); now > slab+64<<20 {
		t.Errorf("the kernel's memory grew from %d to %d bytes", slab, now)
	}
	t.Logf("%d packets received, %d bytes moved meanwhile, maps %d → %d bytes, drops %v", received, during, memory, b.mapMemory(), b.drops())
}

// keepSending has a box send without end to an address that sends back. Stop returns the first error.
func keepSending(t *testing.T, from *box, to netip.Addr) (moved *atomic.Int64, stop func() error) {
	t.Helper()
	var conn net.Conn
	netnstest.Within(t, from.ns, func() (err error) {
		conn, err = net.DialTimeout(from.w.w.inner.tcp(), netip.AddrPortFrom(to, 80).String(), 5*time.Second)
		return err
	})
	moved = &atomic.Int64{}
	done, quit := make(chan error, 1), make(chan struct{})
	go func() {
		defer conn.Close()
		line := make([]byte, 1)
		for line[0] != '\n' { // who it is
			if _, err := io.ReadFull(conn, line); err != nil {
				done <- err
				return
			}
		}
		sent, got := make([]byte, 32<<10), make([]byte, 32<<10)
		for n := byte(0); ; n++ {
			select {
			case <-quit:
				done <- nil
				return
			default:
			}
			for i := range sent {
				sent[i] = n + byte(i)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			_, err := conn.Write(sent)
			if err == nil {
				_, err = io.ReadFull(conn, got)
			}
			if err == nil && !bytes.Equal(sent, got) {
				err = errors.New("what came back is not what was sent")
			}
			if err != nil {
				done <- err
				return
			}
			moved.Add(int64(len(sent)))
		}
	}()
	return moved, func() error { close(quit); return <-done }
}

// samples are the right packets that are to be mutated: at the tunnel's port of b, and out of a container of b.
func samples(t *testing.T, a, b *worker, client, server, liar *box, address netip.Addr) (tunnel, out [][]byte) {
	t.Helper()
	var mac net.HardwareAddr
	netnstest.Within(t, b.ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = l.Attrs().HardwareAddr
		}
		return err
	})
	ether := func(to net.HardwareAddr, ip []byte) []byte {
		kind := []byte{8, 0}
		if ip[0]>>4 == 6 {
			kind = []byte{0x86, 0xdd}
		}
		return bytes.Join([][]byte{to, {2, 0, 0, 0, 0, 9}, kind, ip}, nil)
	}
	payload := bytes.Repeat([]byte("hostile "), 8)
	next := byte(1 + b.w.inner.index)
	for _, inner := range [][]byte{
		transport(client.inst, server.nsIP, unix.IPPROTO_UDP, 1000, 53, 0, payload),
		transport(client.inst, server.nsIP, unix.IPPROTO_TCP, 1001, 81, 2, payload),
		transport(client.inst, server.nsIP, unix.IPPROTO_TCP, 1001, 81, 16, payload),
		transport(client.inst, liar.nsIP, unix.IPPROTO_UDP, 1002, 53, 0, nil),
	} {
		for _, tag := range []uint32{server.tag, liar.tag} {
			tunnel = append(tunnel, ether(mac, transport(a.outer, b.outer, unix.IPPROTO_UDP, 50000, tunnelPort, 0, gpe(tag, next, inner))))
		}
	}
	tunnel = append(tunnel, ether(mac, transport(a.outer, b.outer, unix.IPPROTO_UDP, 50000, tunnelPort, 0, gpe(0, 0xfe, payload))))
	for _, to := range []netip.Addr{address, server.inst, client.inst, nth(b.w.inner.services, 201, 1), a.outer, server.nsIP} {
		out = append(out,
			ether(mac, transport(liar.nsIP, to, unix.IPPROTO_UDP, 2000, 53, 0, payload)),
			ether(mac, transport(liar.nsIP, to, unix.IPPROTO_TCP, 2001, 80, 2, payload)),
			ether(mac, transport(liar.nsIP, to, unix.IPPROTO_TCP, 2001, 80, 20, nil)))
	}
	return tunnel, out
}
