// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"net/http"
)

// Problem is the body of every answer that is not a success, in the form of RFC 9457 (application/problem+json). It is an
// error: a handler returns it.
type Problem struct {
	// Type is "about:blank": the status and Code say what kind of problem it is.
	Type string `json:"type"`
	// Title is the text of the status.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Code names the problem for programs, such as "invalid_descriptor".
	Code string `json:"code"`
	// Detail says what failed, why, and the way out.
	Detail string `json:"detail"`
	// Path is the JSON path of the part of the request at fault; empty where there is none.
	Path string `json:"path,omitempty"`
	// Message repeats Detail, and Path where there is one, under the name that existing clients know.
	Message string `json:"message"`
	// Errors are all faults where a request has several; Path and Detail are the first.
	Errors []Fault `json:"errors,omitempty"`

	cause error
}

// Fault is one part of a request at fault.
type Fault struct {
	// Path is its JSON path, Reason what is wrong with it.
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// NewProblem returns a problem. The detail is for people, a format as of fmt.Sprintf.
func NewProblem(status int, code, format string, args ...any) *Problem {
	detail := fmt.Sprintf(format, args...)
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Message: detail}
}

// At names the part of the request at fault.
func (p *Problem) At(path string) *Problem {
	p.Path, p.Message = path, path+": "+p.Detail
	return p
}

// Because attaches the error behind the problem, which is logged and never sent.
func (p *Problem) Because(err error) *Problem {
	p.cause = err
	return p
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Message) }

func (p *Problem) Unwrap() error { return p.cause }
