// SPDX-License-Identifier: Apache-2.0

package store

// SQLSTATE codes, from appendix A of the PostgreSQL manual.
const (
	codeUniqueViolation      = "23505"
	codeIdleInTransaction    = "25P03"
	codeSerializationFailure = "40001"
	codeDeadlock             = "40P01"
	codeLockNotAvailable     = "55P03"
	codeQueryCanceled        = "57014"
	codeAdminShutdown        = "57P01"
	codeCrashShutdown        = "57P02"
	codeCannotConnectNow     = "57P03"
	codeReadOnly             = "25006"
	codeTooComplex           = "54001"
	codeIO                   = "58030"
	classConnection          = "08"
	classResources           = "53" // disk full, out of memory, too many connections
	classData                = "22"
)
