// SPDX-License-Identifier: Apache-2.0

// Package bed owns what hollow workers are held against: a root orchestrator, a cluster orchestrator and a Postgres of their own, as real
// processes on loopback, and what these take of processor and memory. They end with the process that started them.
//
// It needs no root: namespaces and containers are the testbed's, not this package's.
package bed
