// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// retryAfter is what a client is told to wait, in seconds, while the database is away.
const retryAfter = "1"

// problemOf turns any error of a handler into what the client is told. Errors that are none of its business become a 500
// that names only the request.
func problemOf(err error, requestID string) *Problem {
	var problem *Problem
	var framework *echo.HTTPError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &tooLarge):
		return NewProblem(http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than %d bytes", tooLarge.Limit)
	case store.IsUnavailable(err):
		return NewProblem(http.StatusServiceUnavailable, "database_unavailable",
			"the database is unavailable for now; nothing was acknowledged, try again").Because(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), store.IsTimeout(err):
		return NewProblem(http.StatusServiceUnavailable, "timed_out", "the request took too long or the server is stopping; try again").Because(err)
	case store.IsUnstorable(err):
		return NewProblem(http.StatusUnprocessableEntity, "unstorable",
			"a value in the request cannot be stored: a text with a NUL or of broken UTF-8, a number out of range, or nesting that is too deep").Because(err)
	case errors.As(err, &framework):
		return frameworkProblem(framework)
	}
	return NewProblem(http.StatusInternalServerError, "internal",
		"internal error; the log tells more under request id %s", requestID).Because(err)
}

func frameworkProblem(err *echo.HTTPError) *Problem {
	switch err.Code {
	case http.StatusNotFound:
		return NewProblem(err.Code, "no_such_route", "there is nothing at this path")
	case http.StatusMethodNotAllowed:
		return NewProblem(err.Code, "method_not_allowed", "this path does not take this method")
	}
	return NewProblem(err.Code, "http", "%v", err.Message).Because(err.Internal)
}

func errorHandler(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		req, resp := c.Request(), c.Response()
		id := resp.Header().Get(echo.HeaderXRequestID)
		p := problemOf(err, id)
		if p.Status >= http.StatusInternalServerError {
			level := slog.LevelError
			if p.Status == http.StatusServiceUnavailable {
				level = slog.LevelWarn
			}
			log.Log(req.Context(), level, "request failed", "method", req.Method, "route", c.Path(), "status", p.Status,
				"request_id", id, "error", err)
		}
		if resp.Committed {
			return
		}
		if p.Status == http.StatusServiceUnavailable {
			resp.Header().Set(echo.HeaderRetryAfter, retryAfter)
		}
		if p.Status == http.StatusUnauthorized {
			resp.Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
		}
		if err := writeProblem(resp, req.Method, p); err != nil {
			log.Debug("could not send error", "request_id", id, "error", err)
		}
	}
}

func writeProblem(w http.ResponseWriter, method string, p *Problem) error {
	w.Header().Set(echo.HeaderContentType, "application/problem+json")
	w.WriteHeader(p.Status)
	if method == http.MethodHead {
		return nil
	}
	return json.NewEncoder(w).Encode(p)
}
