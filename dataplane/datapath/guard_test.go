// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestNothingIsDeliveredWithoutTheUplinkProgram takes the uplink's program away: the tunnel's kernel device, which now gets the packets,
// delivers none, and counts them.
func TestNothingIsDeliveredWithoutTheUplinkProgram(t *testing.T) { eachPairing(t, nothingIsDelivered) }

func nothingIsDelivered(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	server, caller := b.box(), a.box()
	b.admit(caller)
	netnstest.Within(t, b.ns, func() error {
		index, err := device.EnsureTunnel(tunnelPort)
		if err != nil {
			return err
		}
		if err := b.dp.AttachTunnelDevice(index); err != nil {
			return err
		}
		return device.SetUp(index)
	})
	seen := server.sniff(t)
	host := hostSocket(t, b)
	netnstest.Within(t, b.ns, func() error { return b.dp.Detach(b.uplink) })
	good := udp(caller.inst, server.nsIP, 4000, 5000, []byte("x"))
	toHost := udp(caller.inst, w.inner.cable[1].Addr(), 4000, 5000, []byte("x"))
	// The kernel takes a program off its hook a moment after the link's last reference is gone.
	eventually(t, "the detachment of the uplink's program", func() bool {
		inject(t, a, b.outer, udp(a.outer, b.outer, 50000, tunnelPort, gpe(0, w.inner.next, good)))
		time.Sleep(5 * time.Millisecond)
		return b.drops()["tunnel_device"] > 0
	})
	time.Sleep(20 * time.Millisecond)
	sent := b.drops()["tunnel_device"]
	for _, inner := range [][]byte{good, toHost} {
		for _, tag := range []uint32{server.tag, 0, 1} {
			inject(t, a, b.outer, udp(a.outer, b.outer, 50000, tunnelPort, gpe(tag, w.inner.next, inner)))
			sent++
		}
	}
	eventually(t, "the drops of the tunnel's device", func() bool { return b.drops()["tunnel_device"] == sent })
	time.Sleep(20 * time.Millisecond)
	if n := seen(); n != 0 {
		t.Errorf("%d packets reached the container", n)
	}
	if host() {
		t.Error("a packet reached the worker's own host")
	}
	// The same socket does hear what is really sent to it: the check above can fail.
	inject(t, a, b.outer, udp(a.outer, b.outer, 4000, 5000, []byte("x")))
	eventually(t, "a plain datagram to the host", host)
}

// hostSocket listens on port 5000 of the worker's host; the result tells whether something has come.
func hostSocket(t *testing.T, wk *worker) func() bool {
	t.Helper()
	var fd int
	netnstest.Within(t, wk.ns, func() error {
		var err error
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrInet6{Port: 5000}) // of both families
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func() bool {
		_, _, err := unix.Recvfrom(fd, make([]byte, 64), 0)
		return err == nil
	}
}
