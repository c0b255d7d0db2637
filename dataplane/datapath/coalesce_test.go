// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/safchain/ethtool"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestTunnelPacketsAreCoalesced sends over an uplink that segments nothing, as a card without tunnel offloads. The socket of the tunnel's
// kernel device has the receiver coalesce what arrives, in every pairing of families: else each segment would cost what a
// super-packet does.
func TestTunnelPacketsAreCoalesced(t *testing.T) { eachPairing(t, tunnelPacketsAreCoalesced) }

func tunnelPacketsAreCoalesced(t *testing.T, w *world) {
	a, b := w.workers[0], w.workers[1]
	for wk, features := range map[*worker]map[string]bool{
		a: {"tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-udp_tnl-segmentation": false, "tx-generic-segmentation": false},
		b: {"rx-gro": true},
	} {
		netnstest.Within(t, wk.ns, func() error {
			e, err := ethtool.NewEthtool()
			if err != nil {
				return err
			}
			defer e.Close()
			return e.Change("eth0", features)
		})
	}
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
	client, far := a.box(), b.box()
	far.listen(t, "far")
	vip := w.inner.service(0)
	a.serve(1, vip, far)
	b.admit(client)

	const sent, segment = 8 << 20, 1400
	netnstest.Within(t, client.ns, func() error {
		c, err := net.DialTimeout(w.inner.tcp(), at(vip, "80"), 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _, _ = c.Write(make([]byte, sent)) }()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = io.CopyN(io.Discard, c, sent)
		return err
	})
	names, err := bpf.StatNames()
	b.must(err)
	var packets uint64
	for n, name := range names {
		if name != "from_tunnel" {
			continue
		}
		perCPU, _, err := b.dp.Maps().Stats.Lookup(n)
		b.must(err)
		for _, cpu := range perCPU {
			packets += cpu.Packets
		}
	}
	if packets == 0 {
		t.Fatal("nothing was counted: the test shows nothing")
	}
	t.Logf("%d packets for %d segments", packets, sent/segment)
	// Acknowledgements of what is echoed are among them.
	if limit := uint64(sent / segment / 2); packets > limit {
		t.Errorf("%d packets have come out of the tunnel for %d segments, want at most %d: nothing coalesces them", packets, sent/segment, limit)
	}
}
