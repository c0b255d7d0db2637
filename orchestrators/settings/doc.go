// SPDX-License-Identifier: Apache-2.0

// Package settings owns what the command lines of both orchestrators have in common beyond control/cmdline: where the database
// is, and the subcommand that makes tokens to join with. It knows neither root nor cluster.
package settings
