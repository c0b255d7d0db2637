// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal by the server.
type Error struct {
	// Method and URL are those of the request.
	Method, URL string
	// Status is the HTTP status.
	Status int
	// Code names the problem for programs; empty if the server gave none.
	Code string
	// Path is the JSON path of the part of the request at fault; empty where there is none.
	Path string
	// Detail says in a person's words what failed.
	Detail string
	// Faults are all parts at fault where the server tells several.
	Faults []Fault
}

// Fault is one part of a request that the server refused.
type Fault struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func (e *Error) Error() string {
	detail := e.Detail
	if e.Path != "" {
		detail = e.Path + ": " + detail
	}
	return fmt.Sprintf("%s %s: server answered %d %s: %s", e.Method, e.URL, e.Status, http.StatusText(e.Status), detail)
}

// HasStatus reports whether err is, or wraps, an [*Error] of one of the statuses.
func HasStatus(err error, statuses ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range statuses {
		if e.Status == s {
			return true
		}
	}
	return false
}

// errorOf makes an error of an answer that is no success. The body is problem+json, an older server's {"message"}, or
// anything that a proxy on the way has written.
func errorOf(method, url string, status int, body []byte) *Error {
	e := &Error{Method: method, URL: url, Status: status}
	var problem struct {
		Code    string  `json:"code"`
		Detail  string  `json:"detail"`
		Path    string  `json:"path"`
		Message string  `json:"message"`
		Errors  []Fault `json:"errors"`
	}
	if json.Unmarshal(body, &problem) == nil {
		e.Code, e.Path, e.Detail, e.Faults = problem.Code, problem.Path, problem.Detail, problem.Errors
		if e.Detail == "" {
			e.Detail = problem.Message
		}
	}
	if e.Detail == "" {
		e.Detail = firstLine(body)
	}
	return e
}

// firstLine quotes the start of a body that is not JSON.
func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	if line == "" {
		return "no explanation"
	}
	return strings.ToValidUTF8(line, "�")
}
