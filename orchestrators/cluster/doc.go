// SPDX-License-Identifier: Apache-2.0

// Package cluster owns the cluster orchestrator: it takes workers in, asks root what to run and tells it what became of it, gives
// instances to workers, and tells workers of one another. It binds together what each does one thing: package ledger decides,
// records stores, overlay derives routes and peers, uplink speaks to root, broker carries messages.
//
// Decisions go to Postgres first and are published afterwards; what is seen from below is believed at once and stored when there is
// time, so that neither root's nor Postgres's absence stops routes or liveness. The package knows no worker's inside.
package cluster
