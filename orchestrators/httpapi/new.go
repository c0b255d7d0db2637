// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oakestra/oakestra-ebpf/control/pki"
)

// BodyLimit is how large a body may be, in bytes, unless [LargeBody] says otherwise.
const BodyLimit = 1 << 20

// RequestTimeout is how long a request may take unless [TimeLimit] says otherwise. A database that accepts connections and
// answers nothing must not hold clients until theirs runs out.
const RequestTimeout = 20 * time.Second

type settings struct {
	ready      func(context.Context) error
	registry   *prometheus.Registry
	mayMeasure func(echo.Context) bool
	bodyLimits map[string]int64
	timeLimits map[string]time.Duration
	peers      *Limiter
}

// Option changes what [New] makes.
type Option func(*settings)

// Ready makes /readyz answer 503 with the error while check fails, and 200 otherwise.
func Ready(check func(context.Context) error) Option { return func(s *settings) { s.ready = check } }

// Registry makes /metrics serve reg, to which the package adds its own metrics. The default is a registry of its own.
func Registry(reg *prometheus.Registry) Option { return func(s *settings) { s.registry = reg } }

// MetricsAuth lets requests for which allow is true read /metrics from elsewhere than loopback.
func MetricsAuth(allow func(echo.Context) bool) Option {
	return func(s *settings) { s.mayMeasure = allow }
}

// LargeBody sets the body limit, in bytes, of one route, in Echo's form as it was registered.
func LargeBody(route string, limit int64) Option {
	return func(s *settings) { s.bodyLimits[route] = limit }
}

// TimeLimit sets how long the requests of one route, in Echo's form, may take, in place of [RequestTimeout].
func TimeLimit(route string, limit time.Duration) Option {
	return func(s *settings) { s.timeLimits[route] = limit }
}

// PeerLimit bounds the requests of each address. The default is no bound.
func PeerLimit(l *Limiter) Option { return func(s *settings) { s.peers = l } }

// New returns an Echo instance with recovery, request ids, body limits, measuring, errors as [Problem], and the routes
// /healthz, /readyz and /metrics. A trailing slash of a path is ignored: register routes without.
func New(log *slog.Logger, opts ...Option) *echo.Echo {
	s := &settings{bodyLimits: map[string]int64{}, timeLimits: map[string]time.Duration{}, peers: NewLimiter(0)}
	for _, opt := range opts {
		opt(s)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	// Addresses in headers are claims: only the connection's counts.
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = errorHandler(log)
	e.Pre(middleware.RemoveTrailingSlash())
	e.Use(requestID, measure(s.registry), recovery(log), limitPeers(s.peers), limitTime(s.timeLimits), limitBody(s.bodyLimits))
	e.GET("/healthz", func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]string{"status": "ok"}) })
	e.GET("/readyz", func(c echo.Context) error {
		if s.ready != nil {
			if err := s.ready(c.Request().Context()); err != nil {
				return NewProblem(http.StatusServiceUnavailable, "not_ready", "not ready: %v", err)
			}
		}
		return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
	})
	e.GET("/metrics", metricsHandler(s))
	return e
}

// limitTime ends the context of a request that takes too long. Who overran it is answered 503.
func limitTime(byRoute map[string]time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			limit, ok := byRoute[c.Path()]
			if !ok {
				limit = RequestTimeout
			}
			ctx, cancel := context.WithTimeout(c.Request().Context(), limit)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
}

// Route returns the form in which Echo takes a path of package wire: {id} becomes :id.
func Route(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }

// requestID names each request. What a client sends as an id is not taken: it would go into the log.
func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderXRequestID, pki.NewID())
		return next(c)
	}
}

func recovery(log *slog.Logger) echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		StackSize: 16 << 10,
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			log.Error("handler panicked", "route", c.Path(), "error", err, "stack", string(stack))
			return fmt.Errorf("handler panicked: %w", err)
		},
	})
}
