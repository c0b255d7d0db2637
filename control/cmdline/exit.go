// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"errors"
	"fmt"
)

// The exit codes that mean the same in every program. A program's own begin at 4.
const (
	OK       = 0
	Failed   = 1
	Usage    = 2
	NotFound = 3
)

// coded is an error with an exit code of its own.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// WithCode gives an error the exit code that the program is to end with.
func WithCode(code int, err error) error { return &coded{code, err} }

// Usagef makes an error of wrong usage, formatted as by [fmt.Errorf].
func Usagef(format string, args ...any) error { return WithCode(Usage, fmt.Errorf(format, args...)) }

// NotFoundf makes an error for what was asked for and is not there, formatted as by [fmt.Errorf].
func NotFoundf(format string, args ...any) error {
	return WithCode(NotFound, fmt.Errorf(format, args...))
}

// Code returns the exit code for an error: [OK] for none, the one it was given, or else [Failed].
func Code(err error) int {
	var c *coded
	switch {
	case err == nil:
		return OK
	case errors.As(err, &c):
		return c.code
	}
	return Failed
}

// HasCode reports whether an error was given an exit code.
func HasCode(err error) bool {
	var c *coded
	return errors.As(err, &c)
}
