// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BenchmarkPackets tells how long a program takes for each kind of packet of a connection, as the kernel counts it: in ns, of which some
// 40 are the counting itself. It is for finding out what a change costs, not for comparing with other systems.
func BenchmarkPackets(b *testing.B) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	must(b, err)
	defer stats.Close()
	k := newKernel(b)
	far := func(port uint16, flags uint8) []byte {
		return tunnelled(peerOuter, farTag, tcp(farServer, clientInst, 80, port, flags).ip())
	}
	near := func(port uint16, flags uint8) []byte { return tcp(client, vipRemote, port, 80, flags).frame() }
	in := func(port uint16, flags uint8) []byte {
		return tunnelled(peerOuter, serverTag, tcp(farClient, server, port, 80, flags).ip())
	}
	out := func(port uint16, flags uint8) []byte { return tcp(server, farClient, 80, port, flags).frame() }
	for _, c := range []struct {
		name  string
		prog  *ebpf.Program
		from  uint32
		frame func(port uint16, flags uint8) []byte
		flags uint8
	}{
		{"caller/1 SYN", k.progs.Container, loopback, near, flagSYN},
		{"caller/2 SYN+ACK", k.progs.UplinkIn, loopback, far, flagSYN | flagACK},
		{"caller/3 ACK", k.progs.Container, loopback, near, flagACK},
		{"caller/4 data", k.progs.Container, loopback, near, flagACK},
		{"caller/5 answer", k.progs.UplinkIn, loopback, far, flagACK},
		{"caller/6 FIN", k.progs.Container, loopback, near, flagFIN | flagACK},
		{"caller/7 FIN back", k.progs.UplinkIn, loopback, far, flagFIN | flagACK},
		{"caller/8 last ACK", k.progs.Container, loopback, near, flagACK},
		{"callee/1 SYN", k.progs.UplinkIn, loopback, in, flagSYN},
		{"callee/2 SYN+ACK", k.progs.Container, otherLink, out, flagSYN | flagACK},
		{"callee/3 ACK", k.progs.UplinkIn, loopback, in, flagACK},
		{"callee/4 data", k.progs.UplinkIn, loopback, in, flagACK},
		{"callee/5 answer", k.progs.Container, otherLink, out, flagACK},
		{"callee/6 FIN", k.progs.UplinkIn, loopback, in, flagFIN | flagACK},
		{"callee/7 FIN back", k.progs.Container, otherLink, out, flagFIN | flagACK},
	} {
		b.Run(c.name, func(b *testing.B) {
			const flows = 4000
			before, err := c.prog.Stats()
			must(b, err)
			for range b.N {
				for port := range uint16(flows) {
					if verdict, _ := k.runFrom(c.from, c.prog, c.frame(1+port, c.flags)); verdict != verdictRedirect {
						b.Fatalf("verdict %#x, drops %v", verdict, k.drops())
					}
				}
			}
			after, err := c.prog.Stats()
			must(b, err)
			b.ReportMetric(float64(after.Runtime-before.Runtime)/float64(after.RunCount-before.RunCount), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}
