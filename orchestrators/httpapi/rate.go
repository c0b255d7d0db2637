// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

const (
	// burstSeconds is how long a limit may be saved up.
	burstSeconds = 6
	// maxLimited bounds how many senders of requests are remembered; beyond it, those that have not sent for longest are forgotten, which
	// gives them nothing that they would not have by then.
	maxLimited = 8192
)

// Limiter bounds how many requests each of many senders makes: so many a second, and six times as many at once.
type Limiter struct {
	per rate.Limit

	mu sync.Mutex
	by map[string]*limited
}

type limited struct {
	*rate.Limiter
	last time.Time
}

// NewLimiter returns a limiter of so many requests a second; 0 is no limit.
func NewLimiter(perSecond float64) *Limiter {
	return &Limiter{per: rate.Limit(perSecond), by: map[string]*limited{}}
}

// Take counts a request of the sender, or refuses it with 429 and the time after which it may come again.
func (l *Limiter) Take(c echo.Context, sender string) error {
	wait := l.take(sender, time.Now())
	if wait == 0 {
		return nil
	}
	c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return NewProblem(http.StatusTooManyRequests, "too_many_requests",
		"more than %g requests a second, %d at once: wait for as long as Retry-After says", float64(l.per), l.burst())
}

func (l *Limiter) burst() int { return max(int(float64(l.per)*burstSeconds), 1) }

func (l *Limiter) take(sender string, now time.Time) (wait time.Duration) {
	if l.per <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[sender]
	if one == nil {
		if len(l.by) >= maxLimited {
			l.forget(now)
		}
		one = &limited{Limiter: rate.NewLimiter(l.per, l.burst())}
		l.by[sender] = one
	}
	one.last = now
	r := one.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// forget makes room: it drops all that have nothing to wait for, and at any rate the one that has been quiet longest.
func (l *Limiter) forget(now time.Time) {
	oldest := ""
	for key, one := range l.by {
		if one.TokensAt(now) >= float64(l.burst()) {
			delete(l.by, key)
		} else if oldest == "" || one.last.Before(l.by[oldest].last) {
			oldest = key
		}
	}
	if len(l.by) >= maxLimited {
		delete(l.by, oldest)
	}
}

// unlimited are the routes by which a process is watched, which ends when nobody is answered any more.
var unlimited = []string{"/healthz", "/readyz", "/metrics"}

// limitPeers counts requests by the address that they come from. Those that come with a certificate of a tier of this installation are
// not counted: it is known who they are.
func limitPeers(l *Limiter) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			req := c.Request()
			if req.TLS != nil && len(req.TLS.VerifiedChains) > 0 || slices.Contains(unlimited, c.Path()) {
				return next(c)
			}
			if err := l.Take(c, peerOf(req)); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// peerOf names the sender: by address, in IPv6 by the network that one subscriber has.
func peerOf(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	addr := peer.Addr().Unmap()
	if addr.Is6() {
		network, err := addr.WithZone("").Prefix(64)
		if err == nil {
			return network.String()
		}
	}
	return addr.String()
}
