// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// burst sends o.n numbered datagrams back to back from one socket and waits for their echoes.
func burst(ctx context.Context, addr string, o options) (hello.BurstReport, error) {
	r := hello.BurstReport{Instances: map[string]int{}, Peers: map[string]int{}}
	c, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return r, err
	}
	defer func() { _ = c.Close() }()
	for i := range o.n {
		if _, err := c.Write([]byte(strconv.Itoa(i))); err != nil {
			return r, fmt.Errorf("send datagram %d: %w", i, err)
		}
		r.Sent++
	}
	if err := c.SetReadDeadline(time.Now().Add(o.timeout)); err != nil {
		return r, err
	}
	buf := make([]byte, 64<<10)
	for r.Received < r.Sent {
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return r, nil // what is missing is lost
		}
		if err != nil {
			return r, fmt.Errorf("after %d echoes: %w", r.Received, err)
		}
		var e hello.Echo
		if err := json.Unmarshal(buf[:n], &e); err != nil {
			return r, fmt.Errorf("read echo: %w", err)
		}
		r.Received++
		r.Instances[e.Instance]++
		if host, _, err := net.SplitHostPort(e.Peer); err == nil {
			r.Peers[host]++
		}
		if e.Payload != strconv.Itoa(e.Arrival) {
			r.Misplaced++
		}
	}
	return r, nil
}
