// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// IsUnavailable reports whether err says that Postgres is away for now: it refused or lost the connection, is starting up or
// shutting down, takes no more connections, has no room left, or is a standby that takes no writes yet. What failed may have been stored or not; the way out is to try again later.
func IsUnavailable(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow, codeIdleInTransaction, codeReadOnly, codeIO:
			return true
		}
		return strings.HasPrefix(pg.Code, classConnection) || strings.HasPrefix(pg.Code, classResources)
	}
	var connect *pgconn.ConnectError
	var network *net.OpError
	switch {
	case errors.As(err, &connect), errors.As(err, &network), pgconn.SafeToRetry(err):
		return true
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return true
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	}
	return false
}

// IsTimeout reports whether Postgres broke off a statement because it, or the wait for a lock, took longer than it may.
func IsTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == codeQueryCanceled || pg.Code == codeLockNotAvailable)
}

// IsUnstorable reports whether Postgres refused a value that no column can hold: a text with a NUL or of broken UTF-8, a number
// out of range, JSON that is nested too deeply. Trying again does not help.
func IsUnstorable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, classData) || pg.Code == codeTooComplex)
}
