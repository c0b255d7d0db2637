// SPDX-License-Identifier: Apache-2.0

package openapi

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed page.html
var page []byte

// Paths at which clients of the original look for both.
const (
	PagePath     = "/api/docs"
	DocumentPath = "/docs/openapi.json"
)

// Serve adds the document and the page that shows it. The page loads nothing from elsewhere, so that it works without a network.
func Serve(e *echo.Echo, document []byte) {
	e.GET(DocumentPath, func(c echo.Context) error { return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, document) })
	e.GET(PagePath, func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
		return c.HTMLBlob(http.StatusOK, page)
	})
}
