// SPDX-License-Identifier: Apache-2.0

// Package store owns the way to Postgres that root and cluster share: opening the pool, migrations, the epoch,
// transactions with bounded retries, and telling "Postgres is away" from other errors.
//
// Each orchestrator brings its own tables as migrations and writes its own queries; the package knows none of them. The
// base migrations hold what both need: the epoch, the certificate authority and the join tokens (see package identity).
package store
