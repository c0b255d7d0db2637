// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
)

// maxDownload bounds one answer, in bytes.
const maxDownload = 1 << 40

type connKey struct{}

func rememberConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func handler(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(hello.Greeting{Instance: name, Peer: r.RemoteAddr}) // the caller has gone
	})
	mux.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		rate, errRate := strconv.ParseInt("0"+r.URL.Query().Get("rate"), 10, 64)
		if err != nil || errRate != nil || n < 0 || n > maxDownload {
			http.Error(w, "want /download?bytes=N, or with &rate=BYTES_PER_SECOND", http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", hello.TrailerRetransmits)
		w.Header().Set("Oak-Instance", name)
		send(r.Context(), w, n, rate)
		w.Header().Set(hello.TrailerRetransmits, strconv.Itoa(retransmits(r.Context())))
	})
	return mux
}

// send writes n bytes, at rate bytes a second or, if that is 0, as fast as they are taken.
func send(ctx context.Context, w http.ResponseWriter, n, rate int64) {
	const ticks = 100 // a second
	chunk := int64(256 << 10)
	var tick <-chan time.Time
	if rate > 0 {
		chunk = max(1, rate/ticks)
		t := time.NewTicker(time.Second / ticks)
		defer t.Stop()
		tick = t.C
	}
	buf := make([]byte, min(chunk, 16<<20))
	for n > 0 {
		if tick != nil {
			select {
			case <-ctx.Done():
				return
			case <-tick:
			}
		}
		c, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return // the caller has gone
		}
		n -= int64(c)
		if f, ok := w.(http.Flusher); ok && tick != nil {
			f.Flush()
		}
	}
}

// retransmits returns how many segments of the connection have been sent again; -1 if the kernel does not tell.
func retransmits(ctx context.Context) int {
	tcp, ok := ctx.Value(connKey{}).(*net.TCPConn)
	if !ok {
		return -1
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	err = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Total_retrans)
		}
	})
	if err != nil {
		return -1
	}
	return n
}
