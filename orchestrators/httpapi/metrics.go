// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// measure counts and times requests by route, never by path: paths are unbounded.
func measure(reg *prometheus.Registry) echo.MiddlewareFunc {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "oakestra_http_request_seconds",
		Help:    "Time to answer HTTP requests, by method, route and status.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
	}, []string{"method", "route", "status"})
	for _, c := range []prometheus.Collector{
		seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		// One that is registered already, by an owner of the registry, is as good.
		if err := reg.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			panic("register HTTP metrics: " + err.Error())
		}
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			err := next(c)
			if err != nil {
				c.Error(err) // answers now, so that the status is known
			}
			route := c.Path()
			if route == "" || c.Response().Status == http.StatusNotFound && route == c.Request().URL.Path {
				route = "none"
			}
			seconds.WithLabelValues(method(c), route, strconv.Itoa(c.Response().Status)).Observe(time.Since(start).Seconds())
			return nil
		}
	}
}

// method bounds the label: a client may send any word.
func method(c echo.Context) string {
	switch m := c.Request().Method; m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return m
	}
	return "other"
}

func metricsHandler(s *settings) echo.HandlerFunc {
	serve := echo.WrapHandler(promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return func(c echo.Context) error {
		if !fromLoopback(c.Request()) && (s.mayMeasure == nil || !s.mayMeasure(c)) {
			return NewProblem(http.StatusForbidden, "metrics_refused", "metrics are for loopback and for bearers of an administrator's token")
		}
		return serve(c)
	}
}
