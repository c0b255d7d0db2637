// SPDX-License-Identifier: Apache-2.0

// Package identity owns the identities that an orchestrator issues: its certificate authority, the server certificate that
// it shows, the client certificates of the tier below, and the join tokens that admit to it. All of it lives in the base
// tables of package store, so that root and cluster each have their own.
//
// It does not know what a cluster or a worker is: an identity is an id and an organisation.
package identity
