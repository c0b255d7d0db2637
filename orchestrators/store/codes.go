// SPDX-License-Identifier: Apache-2.0

package store

// SQLSTATE codes, from appendix A of the PostgreSQL manual.
const (
	codeUniqueViolation      = "23505"
	codeIdleInTransaction    = "25P03"
	codeSerializationFailure = "40001"
	codeDeadlock             = "40P01"
	codeTooManyConnections   = "53300"
	codeLockNotAvailable     = "55P03"
	codeQueryCanceled        = "57014"
	codeAdminShutdown        = "57P01"
	codeCrashShutdown        = "57P02"
	codeCannotConnectNow     = "57P03"
	codeTooComplex           = "54001"
	classConnection          = "08"
	classData                = "22"
)
