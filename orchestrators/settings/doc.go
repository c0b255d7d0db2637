// SPDX-License-Identifier: Apache-2.0

// Package settings owns what the command lines of both orchestrators have in common beyond control/cmdline: where the database
// is, the subcommand that makes tokens to join with, the certificate that the operator has for an orchestrator's users, and how small the
// process keeps. It knows neither root nor cluster.
package settings
