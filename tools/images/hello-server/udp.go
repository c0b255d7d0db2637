// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// maxSenders bounds how many senders' counts are kept; past it, all are forgotten.
const maxSenders = 10_000

// echo answers datagrams until the socket is closed.
func echo(c net.PacketConn, name string) {
	arrived := map[string]int{}
	buf := make([]byte, 64<<10)
	for {
		n, peer, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			slog.Warn("datagram not read", "error", err)
			continue
		}
		if len(arrived) >= maxSenders {
			clear(arrived)
		}
		answer, err := json.Marshal(hello.Echo{
			Greeting: hello.Greeting{Instance: name, Peer: peer.String()},
			Arrival:  arrived[peer.String()],
			Payload:  string(buf[:n]),
		})
		arrived[peer.String()]++
		if err != nil {
			continue // cannot be: strings and numbers only
		}
		if _, err := c.WriteTo(answer, peer); err != nil && !errors.Is(err, net.ErrClosed) {
			slog.Warn("datagram not answered", "peer", peer.String(), "error", err)
		}
	}
}
