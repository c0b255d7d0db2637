// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// up serves on a free port of the loopback until the test ends.
func up(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, addr, "me") }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(5 * time.Second); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestGreeting(t *testing.T) {
	res, err := http.Get("http://" + up(t) + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var g hello.Greeting
	if err := json.NewDecoder(res.Body).Decode(&g); err != nil {
		t.Fatal(err)
	}
	if host, _, err := net.SplitHostPort(g.Peer); err != nil || host != "127.0.0.1" || g.Instance != "me" {
		t.Errorf("greeting %+v", g)
	}
}

func TestDownload(t *testing.T) {
	addr := up(t)
	for query, want := range map[string]int64{"bytes=0": 0, "bytes=1000001": 1_000_001, "bytes=3000&rate=100000": 3000} {
		res, err := http.Get("http://" + addr + "/download?" + query)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || n != want || res.Trailer.Get(hello.TrailerRetransmits) != "0" {
			t.Errorf("%s: %d bytes, %v, retransmissions %q", query, n, err, res.Trailer.Get(hello.TrailerRetransmits))
		}
	}
	for _, query := range []string{"", "bytes=x", "bytes=-1", "bytes=1&rate=x"} {
		res, err := http.Get("http://" + addr + "/download?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d", query, res.StatusCode)
		}
	}
}

func TestEcho(t *testing.T) {
	c, err := net.Dial("udp", up(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for i, payload := range []string{"a", "b", ""} {
		if _, err := c.Write([]byte(payload)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var e hello.Echo
		if err := json.Unmarshal(buf[:n], &e); err != nil || e.Arrival != i || e.Payload != payload || e.Peer != c.LocalAddr().String() {
			t.Errorf("echo %d: %+v, %v", i, e, err)
		}
	}
}
