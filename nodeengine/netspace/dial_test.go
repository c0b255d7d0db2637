// SPDX-License-Identifier: Apache-2.0

package netspace

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestDialReachesWhatListensInside(t *testing.T) {
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const id = "x.0.1-1"
	path, err := f.Create(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Remove(id) })
	ns, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	if _, err := f.Dial(t.Context(), id, 80); err == nil || !strings.Contains(err.Error(), "no address yet") {
		t.Errorf("without an address: %v", err)
	}
	var own, six, loop net.Listener
	err = within(ns, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, a := range []string{"10.99.0.1/32", "2001:db8::1/128"} {
			addr, _ := netlink.ParseAddr(a)
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return err
			}
		}
		var err1, err2, err3 error
		own, err1 = net.Listen("tcp4", "10.99.0.1:80")
		six, err2 = net.Listen("tcp6", "[2001:db8::1]:81")
		loop, err3 = net.Listen("tcp4", "127.0.0.1:82")
		return errors.Join(err1, err2, err3)
	})
	if err != nil {
		t.Fatal(err)
	}
	for port, l := range map[uint16]net.Listener{80: own, 81: six} {
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Write([]byte("hello"))
				_ = c.Close()
			}
		}()
		c, err := f.Dial(t.Context(), id, port)
		if err != nil {
			t.Fatalf("port %d: %v", port, err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
			t.Errorf("port %d: %q, %v", port, b, err)
		}
		_ = c.Close()
	}
	_ = loop.Close()
	for _, port := range []uint16{82, 83} { // for itself alone, and nobody
		if _, err := f.Dial(t.Context(), id, port); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port %d: %v", port, err)
		}
	}
	if ifs, err := net.Interfaces(); err != nil || len(ifs) < 1 {
		t.Fatalf("this process lost its interfaces: %v", err)
	}

	// One that never answers: packets to it go nowhere.
	_ = within(ns, func() error {
		lo, _ := netlink.LinkByName("lo")
		return netlink.LinkSetDown(lo)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := f.Dial(ctx, id, 80); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("nobody answers: %v after %s", err, time.Since(began))
	}
	if _, err := f.Dial(t.Context(), "absent.0.1-1", 80); err == nil {
		t.Error("a namespace that is not there is reached")
	}
}
