// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ValidationError is one fault of a descriptor that is sound JSON.
type ValidationError struct {
	// Path is a JSON path such as $.applications[0].microservices[1].memory.
	Path string
	// Reason says what is wrong with the value there and what is expected.
	Reason string
}

func (e *ValidationError) Error() string { return e.Path + ": " + e.Reason }

// ValidationErrors are all faults of a descriptor in the order in which they were met, at least one. [errors.As] to a
// [*ValidationError] gives the first.
type ValidationErrors []*ValidationError

func (e ValidationErrors) Error() string {
	lines := make([]string, len(e))
	for i, v := range e {
		lines[i] = v.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults to [errors.Is] and [errors.As].
func (e ValidationErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, v := range e {
		errs[i] = v
	}
	return errs
}

// SyntaxError says where a descriptor stops being JSON.
type SyntaxError struct {
	// Offset is the number of bytes read before the fault.
	Offset int64
	// Line and Column are the place of the fault, both from 1; columns count bytes.
	Line, Column int
	// Reason is what the JSON decoder says.
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("broken JSON at line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// syntaxError returns where body is broken, or nil if it is one JSON value.
func syntaxError(body []byte) *SyntaxError {
	var value json.RawMessage
	err := json.Unmarshal(body, &value)
	if err == nil {
		return nil
	}
	e := &SyntaxError{Reason: err.Error(), Offset: int64(len(body))}
	var broken *json.SyntaxError
	if errors.As(err, &broken) {
		// The decoder counts the byte at fault as read; at the end of the input there is none.
		if e.Offset = broken.Offset; e.Reason != "unexpected end of JSON input" && e.Offset > 0 {
			e.Offset--
		}
	}
	before := body[:e.Offset]
	e.Line = bytes.Count(before, []byte("\n")) + 1
	e.Column = len(before) - bytes.LastIndexByte(before, '\n')
	return e
}
