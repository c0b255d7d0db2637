// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiterForgivesWithTime(t *testing.T) {
	l := NewLimiter(2)
	now := time.Now()
	for range 12 {
		require.Zero(t, l.take("a", now))
	}
	wait := l.take("a", now)
	require.InDelta(t, 500, wait.Milliseconds(), 1)
	require.Zero(t, l.take("b", now), "others are not held up")
	require.NotZero(t, l.take("a", now.Add(wait-time.Millisecond)), "who asks while he has to wait does not wait for longer")
	require.Zero(t, l.take("a", now.Add(wait)))
	require.Zero(t, NewLimiter(0).take("a", now))
}

func TestLimiterIsBounded(t *testing.T) {
	l := NewLimiter(1)
	now := time.Now()
	for range 7 {
		l.take("flooder", now)
	}
	for i := range 3 * maxLimited {
		now = now.Add(time.Microsecond)
		l.take(fmt.Sprint(i), now)
		if i%1000 == 0 {
			require.NotZero(t, l.take("flooder", now), "many strangers do not make one forgotten who goes on")
		}
	}
	require.LessOrEqual(t, len(l.by), maxLimited)
}

func TestPeersAreLimited(t *testing.T) {
	e := New(slog.New(slog.DiscardHandler), PeerLimit(NewLimiter(1)))
	ask := func(peer, path string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.RemoteAddr = peer
		req.Header.Set("X-Forwarded-For", fmt.Sprint(time.Now().UnixNano()))
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		return rec
	}
	refused := 0
	for range 20 {
		rec := ask("192.0.2.1:1000", "/nowhere")
		if rec.Code == http.StatusTooManyRequests {
			refused++
			require.NotEmpty(t, rec.Header().Get("Retry-After"))
			require.Contains(t, rec.Body.String(), "too_many_requests")
		}
	}
	require.GreaterOrEqual(t, refused, 10)
	require.Equal(t, 404, ask("192.0.2.2:1000", "/nowhere").Code)
	require.Equal(t, 200, ask("192.0.2.1:1000", "/healthz").Code, "whoever watches is answered")
	for range 10 {
		ask("[2001:db8::1]:1", "/nowhere")
	}
	require.Equal(t, 429, ask("[2001:db8::ffff:2]:1", "/nowhere").Code, "one network is one subscriber")
	require.Equal(t, 404, ask("[2001:db8:0:1::1]:1", "/nowhere").Code)
}
