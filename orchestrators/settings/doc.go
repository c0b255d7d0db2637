// SPDX-License-Identifier: Apache-2.0

// Package settings owns what the command lines of both orchestrators have in common beyond control/cmdline: where the database
// is, the subcommand that makes tokens to join with, and how small the process keeps. It knows neither root nor cluster.
package settings
