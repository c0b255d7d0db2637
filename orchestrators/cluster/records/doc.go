// SPDX-License-Identifier: Apache-2.0

// Package records owns the tables of a cluster orchestrator and every query on them. It decides nothing and keeps nothing in
// memory.
package records
