// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxRefusal bounds what is read of an answer that is no WebSocket, in bytes.
const maxRefusal = 64 << 10

// Refusal is an HTTP answer to who asked for a WebSocket.
type Refusal struct {
	Status int
	// Body is the start of what was answered, at most 64 KiB.
	Body []byte
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the other end answered %d %s", r.Status, http.StatusText(r.Status))
}

// Dial opens a WebSocket at url (https://… or http://…). An answer that is none is a [*Refusal]. Attempts to connect, and to get an answer,
// end with ctx. A server that vanishes later is noticed within some 10 s.
func Dial(ctx context.Context, url string, conf *tls.Config, header http.Header) (*Conn, error) {
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: pingEvery, Interval: pingEvery / 2, Count: 4}}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: 5 * time.Second,
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		transport.CloseIdleConnections()
		if resp != nil {
			defer func() { _ = resp.Body.Close() }()
		}
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
			return nil, &Refusal{Status: resp.StatusCode, Body: body}
		}
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return newConn(ws), nil
}

// DialUp opens the stream that was asked for by a tier above: at base (https://HOST:PORT) unless the request names another address. conf
// shows the certificate of the tier that dials.
func DialUp(ctx context.Context, base string, conf *tls.Config, r wire.StreamRequest) (*Conn, error) {
	if r.URL != "" {
		base = r.URL
	}
	path := strings.ReplaceAll(wire.PathStream, "{id}", r.ID)
	return Dial(ctx, strings.TrimRight(base, "/")+path, conf, http.Header{"Authorization": {"Bearer " + r.Secret}})
}
