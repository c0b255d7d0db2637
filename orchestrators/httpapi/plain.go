// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
)

type contextKey int

const keyAllowPlain contextKey = iota

// RefusePlain is middleware for routes that carry secrets or identities: a request on plain HTTP is refused unless it comes
// from loopback or [Serve] was told to allow plain.
func RefusePlain(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		allowed, _ := req.Context().Value(keyAllowPlain).(bool)
		if req.TLS == nil && !allowed && !fromLoopback(req) {
			return NewProblem(http.StatusForbidden, "plain_refused",
				"this is refused on plain HTTP from another machine: use https, or start the orchestrator with --allow-plain")
		}
		return next(c)
	}
}

func fromLoopback(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

func isLoopback(addr net.Addr) bool {
	peer, err := netip.ParseAddrPort(addr.String())
	return err == nil && peer.Addr().Unmap().IsLoopback()
}
